package annotation

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/tidewaiter/tidewaiter/injection"
)

// maxValue bounds what is parsed: as many names as there may be, of the longest kind.
const maxValue = injection.MaxDataSources * 320

func dataSources(o *Options, podNamespace, value string) error {
	if len(value) > maxValue {
		return fmt.Errorf("is longer than %d bytes", maxValue)
	}
	for part := range strings.SplitSeq(value, ",") {
		name := strings.TrimSpace(part)
		if name == "" {
			return fmt.Errorf("%q: names no data source between its commas", clip(value))
		}
		if !strings.Contains(name, "/") {
			name = podNamespace + "/" + name
		}
		if _, _, err := injection.SplitDataSource(name); err != nil {
			return err
		}
		if slices.Contains(o.DataSources, name) {
			return fmt.Errorf("names %s twice", name)
		}
		o.DataSources = append(o.DataSources, name)
	}
	if len(o.DataSources) > injection.MaxDataSources {
		return fmt.Errorf("names %d data sources, where at most %d are possible", len(o.DataSources), injection.MaxDataSources)
	}
	slices.Sort(o.DataSources)
	return nil
}

func oneOf[T ~string](target *T, value string, allowed ...T) error {
	if !slices.Contains(allowed, T(value)) {
		return fmt.Errorf("%q is none of %v", clip(value), allowed)
	}
	*target = T(value)
	return nil
}

func healthPort(o *Options, _, value string) error {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n < 1024 {
		return fmt.Errorf("%q is not a port from 1024 to 65535", clip(value))
	}
	o.HealthPort = int32(n)
	return nil
}

// quantity is an entry for an amount between two bounds, both included.
func quantity(key, least, most, example, doc string, field func(*Options) **resource.Quantity) Entry {
	low, high := resource.MustParse(least), resource.MustParse(most)
	return Entry{
		Key: key, Type: "quantity", Default: configured, Bounds: least + " to " + most, Example: example, Doc: doc,
		set: func(o *Options, _, value string) error {
			if len(value) > 32 {
				return errors.New("is longer than 32 bytes")
			}
			q, err := resource.ParseQuantity(value)
			if err != nil {
				return fmt.Errorf("%q is not a quantity of Kubernetes", value)
			}
			if q.Cmp(low) < 0 || q.Cmp(high) > 0 {
				return fmt.Errorf("%s is not between %s and %s", value, least, most)
			}
			// String is also how an API server spells it; a value that is not spelled so would look altered later.
			*field(o) = &q
			return nil
		},
	}
}
