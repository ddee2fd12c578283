package policy

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	cosignature "github.com/transparency-dev/formats/note"

	"github.com/danvoulez/logline/internal/fault"
)

// Parse reads a policy file of at most MaxSize bytes and MaxLines lines,
// strictly by C2SP tlog-policy. The error names the line; its code is
// policy_invalid, or policy_key_unsupported for a key of a signature type that
// is not Ed25519's.
func Parse(src []byte) (*Policy, error) {
	if len(src) > MaxSize {
		return nil, fault.Newf(fault.Invalid, "policy_invalid", "the policy is larger than %d bytes", MaxSize)
	}
	p := &parser{names: make(map[string]int), policy: Policy{quorum: -1}}
	rest := src
	for line := 1; len(rest) > 0; line++ {
		text, after, ended := bytes.Cut(rest, []byte("\n"))
		rest = after
		err := p.line(string(text))
		switch {
		case line > MaxLines:
			err = fmt.Errorf("there are more than %d lines", MaxLines)
		case err == nil && !ended:
			err = errors.New("the line has no newline at its end; the file may be cut off")
		}
		if err != nil {
			code := "policy_invalid"
			if errors.As(err, new(keyTypeError)) {
				code = "policy_key_unsupported"
			}
			return nil, fault.Newf(fault.Invalid, code, "line %d of the policy: %s", line, err)
		}
	}
	if !p.quorum {
		return nil, fault.New(fault.Invalid, "policy_invalid", `the policy has no quorum line; "quorum none" asks for no cosignature`)
	}
	return &p.policy, nil
}

// parser holds what lines before the present one have defined.
type parser struct {
	policy    Policy
	names     map[string]int // of witnesses and groups: index in nodes
	inGroup   []bool         // of each node: whether a group has it as a member
	quorum    bool           // the line was met
	witnesses []key
}

func (p *parser) line(text string) error {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\t' || c == 0x7f {
			return fmt.Errorf("byte %d is control character 0x%02x; lines end with a newline alone", i+1, c)
		}
	}
	items := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(items) == 0 || strings.HasPrefix(items[0], "#") {
		return nil
	}
	switch args := items[1:]; items[0] {
	case "log":
		return p.log(args)
	case "witness":
		return p.witness(args)
	case "group":
		return p.group(args)
	case "quorum":
		return p.quorumLine(args)
	}
	return fmt.Errorf("%.40q is none of log, witness, group and quorum", items[0])
}

func (p *parser) log(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("it does not read log <vkey> [<url>]")
	}
	k, err := parseKey(args[0], typeEd25519)
	if err != nil {
		return err
	}
	p.policy.logs, err = addKey(p.policy.logs, k, "log")
	return err
}

func (p *parser) witness(args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return errors.New("it does not read witness <name> <vkey> [<url>]")
	}
	k, err := parseKey(args[1], typeCosignature)
	if err != nil {
		return err
	}
	if p.witnesses, err = addKey(p.witnesses, k, "witness"); err != nil {
		return err
	}
	verifier, err := cosignature.NewVerifierForCosignatureV1(k.vkey)
	if err != nil {
		return fmt.Errorf("the key is not usable: %w", err)
	}
	return p.define(node{name: args[0], witness: &witness{key: k, verifier: verifier}})
}

func (p *parser) group(args []string) error {
	if len(args) < 3 {
		return errors.New("it does not read group <name> any|all|<k> and its members")
	}
	n := node{name: args[0]}
	members := args[2:]
	switch k := args[1]; k {
	case "any":
		n.need = 1
	case "all":
		n.need = len(members)
	default:
		var err error
		if n.need, err = strconv.Atoi(k); err != nil || strconv.Itoa(n.need) != k || n.need < 1 || n.need > len(members) {
			return fmt.Errorf("%.40q is neither any, all nor a number from 1 to %d, the number of members", k, len(members))
		}
	}
	for _, name := range members {
		at, err := p.lookUp(name)
		if err != nil {
			return err
		}
		if p.inGroup[at] {
			return fmt.Errorf("%.80q is a group's member already; a name may be one only once in the whole policy", name)
		}
		p.inGroup[at] = true
		n.members = append(n.members, at)
	}
	return p.define(n)
}

func (p *parser) quorumLine(args []string) error {
	if len(args) != 1 {
		return errors.New("it does not read quorum <name>|none")
	}
	if p.quorum {
		return errors.New("there is a quorum line already")
	}
	p.quorum = true
	if args[0] == None {
		return nil
	}
	var err error
	p.policy.quorum, err = p.lookUp(args[0])
	return err
}

// lookUp finds a name of a line before; that makes cycles impossible.
func (p *parser) lookUp(name string) (int, error) {
	at, ok := p.names[name]
	switch {
	case name == None:
		return 0, errors.New(`"none" can only be the quorum`)
	case !ok:
		return 0, fmt.Errorf("no line before this one defines %.80q", name)
	}
	return at, nil
}

func (p *parser) define(n node) error {
	if _, ok := p.names[n.name]; ok || n.name == None {
		return fmt.Errorf("the name %.80q is taken", n.name)
	}
	p.names[n.name] = len(p.policy.nodes)
	p.policy.nodes = append(p.policy.nodes, n)
	p.inGroup = append(p.inGroup, false)
	return nil
}

// addKey refuses a public key that is there under any name, and one that could
// not be told from another in a signature line.
func addKey(keys []key, k key, what string) ([]key, error) {
	for _, other := range keys {
		if other.public == k.public {
			return nil, fmt.Errorf("another %s has this public key", what)
		}
		if other.name == k.name && other.hash == k.hash {
			return nil, fmt.Errorf("another %s has this key name and key id", what)
		}
	}
	return append(keys, k), nil
}
