// Package policy says when cosignatures are enough: it reads the trust policy
// of a log client (C2SP tlog-policy) and holds a signed checkpoint against it.
//
//	log <vkey> [<url>]
//	witness <name> <vkey> [<url>]
//	group <name> any|all|<k> <member>...
//	quorum <name>|none
//
// Cosignatures are those of C2SP tlog-cosignature, cosignature/v1: timestamped
// Ed25519, signature type 0x04. ML-DSA witnesses are refused, not ignored.
//
// It is pure: it reads no file, knows no clock and asks no witness. URLs are
// accepted and not kept. How old a cosignature may be is the caller's to say.
package policy

import (
	"golang.org/x/mod/sumdb/note"
)

// Limits of a policy file. The specification asks for 32 logs, 32 witnesses and
// 32 groups at least.
const (
	MaxSize  = 64 << 10 // bytes
	MaxLines = 1000
)

// None is the name of the quorum that asks for no cosignature.
const None = "none"

// Policy is a parsed policy file. It is immutable and safe for concurrent use.
type Policy struct {
	logs   []key
	nodes  []node // in the file's order: members come before their group
	quorum int    // index in nodes, -1 for none
}

// node is a witness or a group: what a quorum is made of.
type node struct {
	name    string
	witness *witness // nil for a group
	need    int      // members that a group needs
	members []int    // indexes in nodes, each lower than the group's own
}

// witness is a cosigner with the verifier of its cosignatures.
type witness struct {
	key
	verifier note.Verifier
}

// Quorum is the name of the witness or group that must have cosigned, or None.
func (p *Policy) Quorum() string {
	if p.quorum < 0 {
		return None
	}
	return p.nodes[p.quorum].name
}

// NamesLogs says whether the policy has log lines, so that a checkpoint must be
// by one of these logs.
func (p *Policy) NamesLogs() bool { return len(p.logs) > 0 }
