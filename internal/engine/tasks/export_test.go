package tasks

// DerivedID is derivedID.
var DerivedID = derivedID

// Again is call.again.
func Again(backoff string, retries int, t *Task, err error) error {
	return (&call{Backoff: backoff, Retries: retries}).again(t, err)
}

// Bounds of the follower.
const (
	Unstored = unstored
	AtOnce   = atOnce
)
