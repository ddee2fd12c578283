//go:build !unix

package secret

import "io/fs"

// modes: access is by lists here, which a new file takes over from its folder.
const modes = false

func exposure(fs.FileInfo, int) string { return "" }
