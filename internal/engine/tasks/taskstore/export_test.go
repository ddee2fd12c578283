package taskstore

// The statements whose plans are looked at.
const (
	BeginText     = beginText
	StartedText   = startedText
	EndedText     = endedText
	UntoldText    = untoldText
	UntoldLite    = untoldLite
	BacklogText   = backlogText
	LevelText     = levelText
	LapsedText    = lapsedText
	NextText      = nextText
	SettleText    = settleText
	HeartbeatText = heartbeatText
	SettleLite    = settleLite
)
