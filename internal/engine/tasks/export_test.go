package tasks

// DerivedID is derivedID.
var DerivedID = derivedID

// Bounds of the follower.
const (
	Unstored = unstored
	AtOnce   = atOnce
)
