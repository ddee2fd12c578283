package taskstore

// The statements whose plans are looked at.
const (
	BeginText     = beginText
	StartedText   = startedText
	EndedText     = endedText
	LevelText     = levelText
	LapsedText    = lapsedText
	NextText      = nextText
	SettleText    = settleText
	HeartbeatText = heartbeatText
	SettleLite    = settleLite
)
