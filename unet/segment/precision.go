package segment

import (
	"fmt"

	"unet/unet"
)

// What a network multiplies; a quantised model has its own.
const (
	precisionAuto = "auto"
	float32s      = "float32"
	BFloat16      = "bfloat16"
)

// PrecisionError says that a model does not multiply what was asked for.
type PrecisionError struct{ Name, Problem, Advice string }

// Error implements error.
func (e *PrecisionError) Error() string { return fmt.Sprintf("precision %s: %s", e.Name, e.Problem) }

// Hint tells what to do.
func (e *PrecisionError) Hint() string { return e.Advice }

// ParsePrecision returns what a text, such as auto, chooses for a model.
func ParsePrecision(text string, m *unet.Model) (string, error) {
	own := float32s
	if m.Card.Precision != "" {
		own = m.Card.Precision
	}
	switch text {
	case "", precisionAuto, own:
		return own, nil
	case float32s, BFloat16:
		if own != float32s {
			return "", &PrecisionError{text, "the model is quantised to " + own, "give the model it was made from"}
		}
		return text, nil
	case unet.Int8:
		return "", &PrecisionError{text, "the model is not quantised", "`unet quantize` makes a quantised model of it"}
	}
	return "", &PrecisionError{text, "there is no such precision", "choose from auto, float32, bfloat16"}
}
