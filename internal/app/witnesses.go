package app

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/danvoulez/logline/internal/fault"
	"github.com/danvoulez/logline/internal/timeline/policy"
)

// witnesses reads the policy that names the node's witnesses; nil for none.
func (c Config) witnesses() (*policy.Policy, error) {
	if c.WitnessPolicy == "" {
		return nil, nil
	}
	f, err := os.Open(c.WitnessPolicy)
	if err != nil {
		why := "cannot be read; check its permissions"
		if errors.Is(err, fs.ErrNotExist) {
			why = "does not exist"
		}
		return nil, fault.Newf(fault.Invalid, "witness_policy_unreadable", "the file %s %s", c.WitnessPolicy, why).Because(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, policy.MaxSize+1))
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "witness_policy_unreadable", "the file %s cannot be read", c.WitnessPolicy).Because(err)
	}
	p, err := policy.Parse(raw)
	if err != nil {
		return nil, err
	}
	if p.Witnesses() == 0 {
		return nil, fault.Newf(fault.Invalid, "witness_policy_empty", "the file %s names no witness; leave the setting empty for none", c.WitnessPolicy)
	}
	return p, nil
}
