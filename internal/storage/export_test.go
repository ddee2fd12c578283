package storage

import "time"

// SetIdle shortens the silence after which a channel asks the server.
func (c *Channel) SetIdle(d time.Duration) { c.idle = d }
