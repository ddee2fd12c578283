package onboarding

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/danvoulez/logline/internal/atomicfile"
	"github.com/danvoulez/logline/internal/fault"
)

// errNoToken says that there is no token file.
var errNoToken = errors.New("no bootstrap token file")

// minTokenFile is the shortest token a file may hold: half of what newToken
// makes, so that a cut file is noticed and a chosen token is no password.
const minTokenFile = 20

// TokenPath is the file of the bootstrap token in a data directory. The CLI on
// the same machine reads it there.
func TokenPath(dataDir string) string { return filepath.Join(dataDir, "bootstrap-token") }

func readToken(dataDir string) (string, error) {
	path := TokenPath(dataDir)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errNoToken
	}
	if err != nil {
		return "", fault.Newf(fault.Unavailable, "bootstrap_token_unreadable",
			"the bootstrap token file %s cannot be read; check its owner and permissions", path).Because(err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minTokenFile {
		return "", fault.Newf(fault.Unavailable, "bootstrap_token_unreadable",
			"the bootstrap token file %s holds no whole token; remove it and start again to get a new one", path)
	}
	return token, nil
}

// readOrMakeToken returns the token in the file; without a file it makes both.
func readOrMakeToken(dataDir string, rand io.Reader) (token string, created bool, err error) {
	token, err = readToken(dataDir)
	if err == nil || !errors.Is(err, errNoToken) {
		return token, false, err
	}
	if token, err = newToken(rand); err != nil {
		return "", false, fmt.Errorf("make bootstrap token: %w", err)
	}
	if err := atomicfile.Write(TokenPath(dataDir), atomicfile.Content([]byte(token+"\n"))); err != nil {
		return "", false, fault.Newf(fault.Unavailable, "bootstrap_token_unwritable",
			"the bootstrap token file %s cannot be written; check the directory's permissions and free space", TokenPath(dataDir)).Because(err)
	}
	return token, true, nil
}

func removeToken(dataDir string) error {
	err := os.Remove(TokenPath(dataDir))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fault.Newf(fault.Unavailable, "bootstrap_token_left",
		"the spent bootstrap token file %s cannot be removed; remove it by hand", TokenPath(dataDir)).Because(err)
}

// newToken makes 256 random bits with a prefix that secret scanners can find.
func newToken(rand io.Reader) (string, error) {
	var secret [32]byte
	if _, err := io.ReadFull(rand, secret[:]); err != nil {
		return "", err
	}
	return "llb_" + base64.RawURLEncoding.EncodeToString(secret[:]), nil
}
