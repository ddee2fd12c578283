package expr

// Limits of what an expression may be and cost. A cost unit is that of CEL: a
// step of evaluation, or ten characters of a string that are looked at.
const (
	// MaxSource bounds an expression's text, in bytes.
	MaxSource = 8 << 10
	// MaxNodes bounds the nodes of an expression's tree, and MaxDepth its depth.
	MaxNodes = 2000
	MaxDepth = 200
	// MaxPattern bounds the pattern of matches(), in bytes.
	MaxPattern = 1000
	// MaxText bounds a rendered text, in bytes.
	MaxText = 16 << 10

	// MaxStaticCost is the greatest cost an expression may be reckoned to have
	// with lists of the payload as long as they can be and texts of 256 bytes;
	// a dearer one is not compiled. A walk through a list of the payload is below
	// it, and two lists of the payload within one another are far beyond.
	MaxStaticCost = 100_000_000
	// MaxCost ends an evaluation.
	MaxCost = 1_000_000

	// MaxData bounds the JSON of a payload: the protocol's own limit. Within
	// it a string has at most MaxData bytes, and a list or an object at most
	// half as many members.
	MaxData = 1 << 20
	// MaxHeaderList is how many tags, causes or roles are reckoned with, and
	// MaxApprovals how many votes.
	MaxHeaderList = 64
	MaxApprovals  = 256
	// MaxDataDepth bounds the nesting of data.
	MaxDataDepth = 64
)
