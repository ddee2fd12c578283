package id

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/danvoulez/logline/internal/fault"
)

// NodeKeyFile is the name of the node's key file in the data directory.
const NodeKeyFile = "node.key"

// Node is the node's own identity with its log key, the one that signs
// checkpoints. It is safe for concurrent use.
type Node struct {
	keys *Keys
	log  *SecretKey
	pub  ed25519.PublicKey // of log
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
		if keys, err = makeNodeKeys(dir, path, now, rand); err == nil {
			created = true
		} else if fault.CodeOf(err) == "key_file_exists" { // another process was first
			keys, err = LoadKeys(path, nil)
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("open the node's keys: %w", err)
	}
	n, err = newNode(keys)
	if err != nil {
		return nil, false, malformed(path, "does not hold a node's keys", err)
	}
	return n, created, nil
}

func makeNodeKeys(dir, path string, now time.Time, rand io.Reader) (*Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.Newf(fault.Unavailable, "data_dir_unusable", "the data directory %s cannot be made; check its parent, or choose another with --data-dir", dir).Because(err)
	}
	keys, err := NewKeys(SubjectNode, now, rand)
	if err != nil {
		return nil, err
	}
	if _, _, err := keys.Delegate("log", []string{TypeLog}, "", now, rand); err != nil {
		return nil, err
	}
	return keys, SaveKeys(path, keys, "")
}

func newNode(keys *Keys) (*Node, error) {
	if keys.Subject() != SubjectNode {
		return nil, fmt.Errorf("the identity's subject is %q", keys.Subject())
	}
	for _, key := range keys.delegated {
		g, ok := keys.chain.Key(key.Public())
		if ok && slices.Equal(g.Types, []string{TypeLog}) {
			return &Node{keys: keys, log: key, pub: key.private.Public().(ed25519.PublicKey)}, nil
		}
	}
	return nil, errors.New("it delegates no key for logline.log")
}

// ID is the node's LogLine ID.
func (n *Node) ID() string { return n.keys.ID() }

// NodeID is ID, as timeline.NoteSigner names it.
func (n *Node) NodeID() string { return n.keys.ID() }

// Events are the node's sealed key events, in order: the inception, then the
// log key's delegation.
func (n *Node) Events() [][]byte { return n.keys.Events() }

// Signer signs with the node's primary key.
func (n *Node) Signer() Signer { return n.keys.primary }

// LogKey is the public key that checkpoints are signed with.
func (n *Node) LogKey() ed25519.PublicKey { return slices.Clone(n.pub) }

// SignLog signs with the log key: the text of a checkpoint, or what a witness
// protocol defines, and nothing that a caller chose.
func (n *Node) SignLog(message []byte) []byte { return n.log.Sign(message) }
