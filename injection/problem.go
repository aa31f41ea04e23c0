package injection

import "fmt"

// Problem is one thing in a pod that keeps it from being injected, or from being believed.
type Problem struct {
	// Field of the pod, as spec.containers{app}.securityContext.
	Field string
	// What is wrong with it, and why that matters.
	What string
	// Cure says what to do.
	Cure string
}

// String is the problem in one line.
func (p Problem) String() string { return fmt.Sprintf("%s: %s; %s", p.Field, p.What, p.Cure) }
