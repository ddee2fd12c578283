package decide

import (
	"encoding/json"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// Bare evaluates the expressions of the rules that match, each time it is
// called, by cel-go as it comes: compiled once, optimized, its variables in a
// map that is made once. Several goroutines may call it at once.
func Bare() (func() error, error) {
	programs, err := barePrograms()
	if err != nil {
		return nil, err
	}
	sp, author, err := sample()
	if err != nil {
		return nil, err
	}
	var data map[string]any
	if err := json.Unmarshal(sp.Payload, &data); err != nil {
		return nil, err
	}
	vars := map[string]any{
		"data":  data,
		"span":  map[string]any{"type": sp.Type, "tags": sp.Tags},
		"actor": map[string]any{"id": author.ID(), "status": "validated"},
	}
	return func() error {
		for i, p := range programs {
			out, _, err := p.Eval(vars)
			if err != nil {
				return fmt.Errorf("%s: %w", conditions[i], err)
			}
			if out != types.True {
				return fmt.Errorf("%s: %v", conditions[i], out)
			}
		}
		return nil
	}, nil
}

func barePrograms() ([]cel.Program, error) {
	object := cel.MapType(cel.StringType, cel.DynType)
	env, err := cel.NewEnv(cel.Variable("data", object), cel.Variable("span", object), cel.Variable("actor", object))
	if err != nil {
		return nil, err
	}
	var programs []cel.Program
	for _, source := range conditions {
		checked, issues := env.Compile(source)
		if err := issues.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		p, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source, err)
		}
		programs = append(programs, p)
	}
	return programs, nil
}
