package taskstore

// The statements whose plans are looked at.
const (
	LevelText     = levelText
	LapsedText    = lapsedText
	NextText      = nextText
	SettleText    = settleText
	HeartbeatText = heartbeatText
	SettleLite    = settleLite
)
