package account

// What tests need of the inside.
var (
	ByAccount  = byAccount
	OfInterest = ofInterest
	Differing  = differing
)

// Limits of repetition.
const (
	HoldFor     = holdFor
	VerifyEvery = verifyEvery
	StrayGrace  = strayGrace
)
