package id

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
)

// NodeKeyFile is the name of the node's key file in the data directory.
const NodeKeyFile = "node.key"

// logLabel names the log key's delegation.
const logLabel = "log"

// Node is the node's own identity with its log key, the one that signs
// checkpoints and stays the same when the primary rotates. It is safe for
// concurrent use.
type Node struct {
	home keeping
	log  *SecretKey
	pub  ed25519.PublicKey // of log

	rotating sync.Mutex // makes rotations and refreshes take turns
	mu       sync.RWMutex
	keys     *Keys // guarded by mu; replaced by a rotation, never changed
}

// keeping is where a node's keys are kept between starts.
type keeping interface {
	load(ctx context.Context) (*Keys, error)
	// replace keeps a later state of the keys, durably and all or nothing, if
	// what is kept still has size events; errRaced when it has not.
	replace(ctx context.Context, k *Keys, size int) error
	// shared says whether another process may replace the keys meanwhile.
	shared() bool
	// place names it for messages.
	place() string
}

// OpenNode reads the node's keys from node.key in the data directory dir, or
// makes them on first start: an identity of subject node, in nobody's custody,
// that delegates a log key for exactly logline.log. A missing dir is made for
// the owner alone (0700); the file, not encrypted, is 0600 and written whole
// or not at all, also when two processes start at once.
func OpenNode(dir string, now time.Time, rand io.Reader) (n *Node, created bool, err error) {
	path := filepath.Join(dir, NodeKeyFile)
	keys, err := LoadKeys(path, nil)
	if fault.CodeOf(err) == "key_file_missing" {
		if keys, err = makeNodeFile(dir, path, now, rand); err == nil {
			created = true
		} else if fault.CodeOf(err) == "key_file_exists" { // another process was first
			keys, err = LoadKeys(path, nil)
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("open the node's keys: %w", err)
	}
	n, err = newNode(keyFileAt(path), keys)
	return n, created, err
}

func makeNodeFile(dir, path string, now time.Time, rand io.Reader) (*Keys, error) {
	if err := atomicfile.MkdirAll(dir); err != nil {
		return nil, fault.Newf(fault.Unavailable, "data_dir_unusable", "the data directory %s cannot be made; check its parent, or choose another with --data-dir", dir).Because(err)
	}
	keys, err := makeNodeKeys(now, rand)
	if err != nil {
		return nil, err
	}
	return keys, SaveKeys(path, keys, "")
}

func makeNodeKeys(now time.Time, rand io.Reader) (*Keys, error) {
	keys, err := NewKeys(SubjectNode, now, rand)
	if err != nil {
		return nil, err
	}
	_, _, err = keys.Delegate(logLabel, []string{TypeLog}, "", now, rand)
	return keys, err
}

func newNode(home keeping, keys *Keys) (*Node, error) {
	log, err := logKey(keys)
	if err != nil {
		return nil, malformed(home.place(), "does not hold a node's keys", err)
	}
	return &Node{home: home, keys: keys, log: log, pub: log.private.Public().(ed25519.PublicKey)}, nil
}

// logKey is the key that a node delegates for its log.
func logKey(keys *Keys) (*SecretKey, error) {
	if keys.Subject() != SubjectNode {
		return nil, fmt.Errorf("the identity's subject is %q", keys.Subject())
	}
	for _, key := range keys.delegated {
		g, ok := keys.chain.Key(key.Public())
		if ok && slices.Equal(g.Types, []string{TypeLog}) {
			return key, nil
		}
	}
	return nil, errors.New("it delegates no key for logline.log")
}

// Rotate makes the node's next key its primary, and delegates the log key anew,
// because a rotation ends every delegation: two events, which belong into one
// batch of each timeline (PROTOCOL §2). What is kept is replaced, all or
// nothing and durably, before anybody sees the new events; after an error the
// node goes on with the old ones. A rotation that is kept already, by an earlier
// call or by another process of this node, is taken up instead of making another.
func (n *Node) Rotate(ctx context.Context, now time.Time, rand io.Reader) error {
	n.rotating.Lock()
	defer n.rotating.Unlock()
	err := n.rotate(ctx, now, rand)
	if errors.Is(err, errRaced) { // another process rotated: now there is its rotation to take up
		err = n.rotate(ctx, now, rand)
	}
	if err != nil {
		return fmt.Errorf("rotate the node's key: %w", err)
	}
	return nil
}

func (n *Node) rotate(ctx context.Context, now time.Time, rand io.Reader) error {
	keys, later, err := n.kept(ctx)
	if err != nil {
		return err
	}
	if !later {
		size := len(keys.events)
		if err := keys.rotateNode(n.log, now, rand); err != nil {
			return err
		}
		if err := n.home.replace(ctx, keys, size); err != nil {
			return err
		}
	}
	return n.take(keys)
}

// Refresh takes up what another process of this node did to its keys, where
// several processes share them; without that it does nothing.
func (n *Node) Refresh(ctx context.Context) error {
	if !n.home.shared() {
		return nil
	}
	n.rotating.Lock()
	defer n.rotating.Unlock()
	keys, later, err := n.kept(ctx)
	if err == nil && later {
		err = n.take(keys)
	}
	if err != nil {
		return fmt.Errorf("read the node's keys again: %w", err)
	}
	return nil
}

// kept is the keys as they are kept now, and whether they are a later state.
func (n *Node) kept(ctx context.Context) (keys *Keys, later bool, err error) {
	if keys, err = n.home.load(ctx); err != nil {
		return nil, false, err
	}
	before := n.Events()
	if !keys.continues(before) {
		return nil, false, malformed(n.home.place(), "holds keys that do not continue this node's", nil)
	}
	return keys, len(keys.events) > len(before), nil
}

// continues says whether the keys are those of events or a later state of them.
func (k *Keys) continues(events [][]byte) bool {
	return len(k.events) >= len(events) && slices.EqualFunc(events, k.Events()[:len(events)], bytes.Equal)
}

// take makes keys the node's from now on.
func (n *Node) take(keys *Keys) error {
	if log, err := logKey(keys); err != nil || log.Public() != n.log.Public() {
		return malformed(n.home.place(), "does not delegate this node's log key any more", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.keys = keys
	return nil
}

// rotateNode keeps the old primary, which timelines that do not hold the
// rotation yet still know as the node's, and the log key.
func (k *Keys) rotateNode(log *SecretKey, now time.Time, rand io.Reader) error {
	former := k.primary
	if _, err := k.Rotate(now, rand); err != nil {
		return err
	}
	k.former = append(k.former, former)
	if _, err := k.DelegateKey(log.Public(), logLabel, []string{TypeLog}, "", "", now); err != nil {
		return err
	}
	k.delegated = []*SecretKey{log}
	return nil
}

func (n *Node) current() *Keys {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.keys
}

// ID is the node's LogLine ID.
func (n *Node) ID() string { return n.current().ID() }

// NodeID is ID, as timeline.NoteSigner names it.
func (n *Node) NodeID() string { return n.ID() }

// Events are the node's sealed key events, in order: the inception and the log
// key's delegation, then each rotation with the log key's delegation under it.
func (n *Node) Events() [][]byte { return n.current().Events() }

// Signer signs with the node's primary key.
func (n *Node) Signer() Signer { return n.current().primary }

// SignerFor signs with the primary, current or former, whose public key (b64u)
// is named; nil for any other key. A former one is for timelines that know no
// later one.
func (n *Node) SignerFor(public string) Signer {
	k := n.current()
	for _, key := range append([]*SecretKey{k.primary}, k.former...) {
		if key.Public() == public {
			return key
		}
	}
	return nil
}

// LogKey is the public key that checkpoints are signed with.
func (n *Node) LogKey() ed25519.PublicKey { return slices.Clone(n.pub) }

// SignLog signs with the log key: the text of a checkpoint, or what a witness
// protocol defines, and nothing that a caller chose.
func (n *Node) SignLog(message []byte) []byte { return n.log.Sign(message) }

// sealingDomain is what the node's sealing key is derived under.
const sealingDomain = "logline.node-seal.v1\n"

// SealingKey seals what the node keeps in its database beside keys, and stays
// the same when the node's keys rotate. It follows from a secret among them, so
// that it needs no set-up, and is as safe as they are: in node.key, or sealed
// under the master key. Whoever has the database alone has neither.
func (n *Node) SealingKey() (*MasterKey, error) {
	raw, err := n.derive(sealingDomain)
	if err != nil {
		return nil, err
	}
	return newMasterKey(raw)
}

// spanIDDomain is what the secret of the node's span ids is derived under.
const spanIDDomain = "logline.node-ids.v1\n"

// IDSecret is what the ids of the node's own spans follow from, beside what they
// are for: the same for ever, and nobody else's to know.
func (n *Node) IDSecret() ([]byte, error) { return n.derive(spanIDDomain) }

// derive is 32 bytes that follow from the node's secret and a domain.
func (n *Node) derive(domain string) ([]byte, error) {
	secret := n.current().Secret()
	if len(secret) == 0 {
		return nil, malformed(n.home.place(), "holds no secret beside its keys", nil)
	}
	raw, err := hkdf.Key(sha256.New, secret, nil, domain, masterBytes)
	if err != nil {
		return nil, fmt.Errorf("derive from the node's secret: %w", err)
	}
	return raw, nil
}
