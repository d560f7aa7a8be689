package errtext

import (
	"errors"
	"fmt"
	"testing"
)

func TestBare(t *testing.T) {
	sentinel := errors.New("auth: invalid")
	for _, tt := range []struct {
		err  error
		want string
	}{
		{sentinel, "invalid"},
		{fmt.Errorf("%w: DeviceId", sentinel), "invalid: DeviceId"},
		{fmt.Errorf("read: %w", sentinel), "read: auth: invalid"},
		{errors.New("auth"), "auth"},
	} {
		got := Bare("auth", tt.err)
		if got.Error() != tt.want || !errors.Is(got, tt.err) {
			t.Errorf("of %q got %q, want %q, which matches it", tt.err, got, tt.want)
		}
	}
	if err := Bare("auth", nil); err != nil {
		t.Errorf("of nil got %v", err)
	}
}
