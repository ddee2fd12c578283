package tasks

// DerivedID is derivedID.
var DerivedID = derivedID
