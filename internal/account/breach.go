package account

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // the published lists are of SHA-1; nothing rests on it
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/danvoulez/logline/internal/fault"
)

const (
	hexSHA1    = 2 * sha1.Size
	rangeLen   = 5        // hexadecimal digits that name a range
	maxLine    = 256      // bytes of a line with a hash
	maxPlain   = 64 << 20 // bytes of a list of plain passwords, which is held in memory as hashes
	hashedWith = 1 << 10  // bytes at the beginning that tell what a file is
)

// Lists of stolen passwords as they are published, each a local file: nobody is
// asked over a network.
var (
	_ Breached = plainList{}
	_ Breached = hashFile{}
	_ Breached = rangeFolder{}
)

// OpenBreached opens a list: a file of SHA-1 hashes in hexadecimal, ordered, each
// with a colon and a count behind it or without; a folder of such files by their
// first five digits, which leave those out of each line; or a file of passwords, one a
// line, of at most 64 MiB. Codes: breached_unreadable, breached_malformed, breached_large.
func OpenBreached(path string) (Breached, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	if info.IsDir() {
		return rangeFolder{path}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	begin := make([]byte, hashedWith)
	n, err := io.ReadFull(f, begin)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, unreadable(path, err)
	}
	first, _, _ := bytes.Cut(begin[:n], []byte("\n"))
	if _, err := hashOf(first); err == nil {
		return hashFile{path}, nil
	}
	if info.Size() > maxPlain {
		return nil, fault.Newf(fault.Invalid, "breached_large", "%s has more than %d MiB of plain passwords; use a file of SHA-1 hashes, ordered", path, maxPlain>>20)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, unreadable(path, err)
	}
	return readPlain(f, path)
}

func unreadable(path string, err error) error {
	return fault.Newf(fault.Unavailable, "breached_unreadable", "the list of stolen passwords %s cannot be read; check that it is there, and its permissions", path).Because(err)
}

func damaged(path string) error {
	return fault.Newf(fault.Unavailable, "breached_malformed", "the list of stolen passwords %s is none of SHA-1 hashes in hexadecimal, ordered, each with a colon and a count behind it or without", path)
}

// plainList is a list held in memory.
type plainList map[[sha1.Size]byte]struct{}

func readPlain(r io.Reader, path string) (plainList, error) {
	list := plainList{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if text := strings.TrimSuffix(lines.Text(), "\r"); text != "" {
			list[sha1.Sum([]byte(normal(text)))] = struct{}{}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, unreadable(path, err)
	}
	return list, nil
}

// Has implements Breached.
func (l plainList) Has(password string) (bool, error) {
	_, found := l[sha1.Sum([]byte(normal(password)))]
	return found, nil
}

// hashFile is an ordered file of hashes, of any size.
type hashFile struct{ path string }

// Has implements Breached. It reads a few dozen lines.
func (h hashFile) Has(password string) (bool, error) {
	f, err := os.Open(h.path)
	if err != nil {
		return false, unreadable(h.path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, unreadable(h.path, err)
	}
	found, err := search(f, info.Size(), sha1Hex(password))
	if err != nil {
		return false, errors.Join(damaged(h.path), err)
	}
	return found, nil
}

func sha1Hex(password string) string {
	sum := sha1.Sum([]byte(normal(password)))
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// search looks for a hash in ordered lines.
func search(r io.ReaderAt, size int64, want string) (bool, error) {
	for low, high := int64(0), size; low < high; { // lines that begin in between
		middle := low + (high-low)/2
		from := max(low, middle-maxLine)
		window := make([]byte, min(size, middle+maxLine)-from)
		if _, err := r.ReadAt(window, from); err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		at := int(middle - from)
		start := bytes.LastIndexByte(window[:at], '\n') + 1
		line, _, _ := bytes.Cut(window[start:], []byte("\n"))
		hash, err := hashOf(line)
		if err != nil {
			return false, err
		}
		switch begins := from + int64(start); {
		case hash == want:
			return true, nil
		case hash < want:
			low = begins + int64(len(line)) + 1
		default:
			high = begins
		}
	}
	return false, nil
}

var errNoHash = errors.New("a line that is no SHA-1 hash")

// hashOf is the hash that a line begins with, in capitals.
func hashOf(line []byte) (string, error) {
	hash, _, _ := strings.Cut(strings.TrimSuffix(string(line), "\r"), ":")
	if len(hash) != hexSHA1 || len(line) >= maxLine {
		return "", errNoHash
	}
	if _, err := hex.DecodeString(hash); err != nil {
		return "", errNoHash
	}
	return strings.ToUpper(hash), nil
}

// rangeFolder is a folder of files named by the first digits of their hashes, with
// .txt or without.
type rangeFolder struct{ path string }

// Has implements Breached.
func (f rangeFolder) Has(password string) (bool, error) {
	want := sha1Hex(password)
	for _, name := range []string{want[:rangeLen] + ".txt", want[:rangeLen]} {
		text, err := os.ReadFile(filepath.Join(f.path, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, unreadable(f.path, err)
		}
		for line := range strings.Lines(string(text)) {
			rest, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
			if strings.EqualFold(rest, want[rangeLen:]) {
				return true, nil
			}
		}
		return false, nil
	}
	return false, nil // a range without a file has no stolen password
}
