package app

import (
	"time"

	"github.com/danvoulez/logline/internal/id"
)

// APIKeys is how long API keys last.
type APIKeys struct {
	Life    time.Duration `mapstructure:"life"`
	MaxLife time.Duration `mapstructure:"max_life"`
	Overlap time.Duration `mapstructure:"overlap"`
}

const longestLife = 100 * 365 * 24 * time.Hour

func (k APIKeys) limits() id.APIKeyConfig {
	return id.APIKeyConfig{Life: k.Life, MaxLife: k.MaxLife, Overlap: k.Overlap}
}
