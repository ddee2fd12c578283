package contract

import (
	"strings"
	"unicode"

	"golang.org/x/mod/semver"
)

// Requirement is one `requires`: a contract and the versions that will do.
type Requirement struct {
	Name  string
	Range string // as written: "^1.2", ">=1.2.0", "1.2.3"; "" for any
}

// String is the requirement as it is written.
func (r Requirement) String() string {
	if r.Range == "" {
		return r.Name
	}
	return r.Name + " " + r.Range
}

// ParseRequirement reads "name ^1.2"; false where it is none.
func ParseRequirement(s string) (Requirement, bool) {
	name, versions, _ := strings.Cut(strings.TrimSpace(s), " ")
	r := Requirement{Name: name, Range: strings.TrimSpace(versions)}
	_, version := r.split()
	return r, validName(name) && (r.Range == "" || semver.IsValid(version))
}

// split gives the operator, "" for exactly, and the version in the form of
// package semver.
func (r Requirement) split() (operator, version string) {
	for _, operator := range []string{">=", "^", "~", "="} {
		if rest, ok := strings.CutPrefix(r.Range, operator); ok {
			return operator, "v" + strings.TrimSpace(rest)
		}
	}
	return "", "v" + r.Range
}

// Accepts says that a version will do. "^1.2" is 1.2.0 and above within 1,
// "^0.2" within 0.2; "~1.2" within 1.2; a bare "1.2" every 1.2.x. A
// pre-release will do only where the range names one.
func (r Requirement) Accepts(version string) bool {
	v := "v" + version
	if !semver.IsValid(v) {
		return false
	}
	if r.Range == "" {
		return true
	}
	operator, least := r.split()
	if semver.Prerelease(v) != "" && semver.Prerelease(least) == "" || semver.Compare(v, least) < 0 {
		return false
	}
	switch operator {
	case ">=":
		return true
	case "^":
		if semver.Major(least) != "v0" {
			return semver.Major(v) == semver.Major(least)
		}
		return semver.MajorMinor(v) == semver.MajorMinor(least)
	case "~":
		return semver.MajorMinor(v) == semver.MajorMinor(least)
	}
	if strings.Count(least, ".") < 2 {
		return strings.HasPrefix(v+".", least+".")
	}
	return semver.Compare(v, least) == 0
}

// validVersion says that v is a whole semantic version: 1.2.0, 1.2.0-rc.1.
func validVersion(v string) bool {
	return semver.IsValid("v"+v) && semver.Canonical("v"+v) == "v"+v && len(v) <= 64
}

// validName says that a contract may have this name: what stands in
// name@version#hash and in keys of rows.
func validName(name string) bool {
	return name != "" && len(name) <= 128 && !strings.ContainsFunc(name, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.M, unicode.N) && !strings.ContainsRune("._-:", r)
	})
}
