package control

import (
	"context"

	sidecarv1alpha1 "github.com/tidewaiter/tidewaiter/api/sidecar/v1alpha1"
	"github.com/tidewaiter/tidewaiter/proxy/approval"
)

// Approvals holds what people have to approve. Its methods but Talk do not wait.
type Approvals interface {
	// Talk asks over a stream until the context, which ends with the stream, does.
	Talk(ctx context.Context, to approval.Asker)
	Pending(m *sidecarv1alpha1.ApprovalPending)
	Answer(m *sidecarv1alpha1.ApprovalAnswer)
	GrantEnd(m *sidecarv1alpha1.GrantEnd)
}

// Ask queues a request; the error is the stream's end.
func (o outgoing) Ask(ctx context.Context, r *sidecarv1alpha1.ApprovalRequest) error {
	o.put(ctx, &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Approval{Approval: r}})
	return ctx.Err()
}

// Withdraw queues a withdrawal; the error is the stream's end.
func (o outgoing) Withdraw(ctx context.Context, w *sidecarv1alpha1.ApprovalWithdrawal) error {
	o.put(ctx, &sidecarv1alpha1.ConnectRequest{Message: &sidecarv1alpha1.ConnectRequest_Withdrawal{Withdrawal: w}})
	return ctx.Err()
}

var _ approval.Asker = outgoing(nil)

// nobody asks, and so takes no answer.
type nobody struct{}

func (nobody) Talk(context.Context, approval.Asker)     {}
func (nobody) Pending(*sidecarv1alpha1.ApprovalPending) {}
func (nobody) Answer(*sidecarv1alpha1.ApprovalAnswer)   {}
func (nobody) GrantEnd(*sidecarv1alpha1.GrantEnd)       {}
