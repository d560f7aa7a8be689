package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
)

// TestMain lets the test be the board, too: powerOn runs it once more.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == asBoard {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// TestStory holds every line of the story, in order.
func TestStory(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, &out); err != nil {
		t.Fatalf("the story broke off: %v\n%s", err, out.String())
	}
	// The power cut leaves open whether 87 was safe yet, and was called so.
	text := regexp.MustCompile(`(?m)^.* has battery = 87 safe on its store: its last word\n`).ReplaceAllString(out.String(), "")

	const when = `^ +\d+\.\d{3} s  `
	const last = `,"firmware":"2\.1","heater":\{"celsius":\{"ac":200,"av":2,"value":21\}\},"serial":"F7-0042"\}$`
	wants := []string{
		when + `hub    speaks MQTT over TLS on 127\.0\.0\.1:\d+, and knows the device fan-7$`,
		when + `hub    desires \{"fan":\{"rpm":800\},"heater":\{"celsius":21\},"lamp":"green"\} \(desired version 2\)$`,
		`^$`, `^1\. the board boots, and does what the back end desires$`,
		when + `power  is on$`,
		when + `board  boots, with \d+ bytes on its store$`,
		when + `board  is online$`,
		when + `board  sets fan\.rpm = 800 \(desired version 2, cause "start"\)$`,
		when + `board  sets heater\.celsius = 21 \(desired version 2, cause "start"\)$`,
		when + `board  sets lamp = green \(desired version 2, cause "start"\)$`,
		when + `board  reports what it is$`,
		when + `hub    has reported \{"fan":\{"rpm":\{"ac":200,"av":2,"value":800\}\}` + last,
		`^$`, `^2\. the line dies; the board goes on reporting$`,
		when + `hub    cannot be reached any more$`,
		when + `board  has no line: transport: connection lost: `,
		when + `board  measures battery = 90$`,
		when + `board  has battery = 90 safe on its store$`,
		when + `board  measures battery = 89$`,
		when + `board  has battery = 89 safe on its store$`,
		when + `board  measures battery = 88$`,
		when + `board  has battery = 88 safe on its store$`,
		when + `hub    knows nothing of a battery$`,
		`^$`, `^3\. the power is cut in the middle of a report$`,
		when + `board  measures battery = 87$`,
		when + `power  is cut$`,
		`^$`, `^4\. the back end changes its mind meanwhile$`,
		when + `hub    desires \{"fan":\{"rpm":1500\}\} \(desired version 3\)$`,
		`^$`, `^5\. the power is back, the line is not$`,
		when + `power  is on$`,
		when + `board  boots, with \d{3,} bytes on its store$`,
		when + `board  has no line: `,
		`^$`, `^6\. the line is back, and nothing is lost$`,
		when + `hub    can be reached again$`,
		when + `board  is online$`,
		when + `board  sets fan\.rpm = 1500 \(desired version 3, cause "start"\)$`,
		when + `board  sets lamp = green \(desired version 3, cause "start"\)$`,
		when + `board  reports what it is$`,
		when + `hub    has battery = (88, the last that the board called safe|87: what the power cut met had reached the store|87, the last that the board called safe)$`,
		when + `hub    has reported \{"battery":8[78],"fan":\{"rpm":\{"ac":200,"av":3,"value":1500\}\}` + last,
		when + `power  is switched off, and the board ends in order$`,
		`^$`, `^7\. one more boot: only the lamp, which forgets, is set again$`,
		when + `power  is on$`,
		when + `board  boots, with \d{3,} bytes on its store$`,
		when + `board  is online$`,
		when + `board  sets lamp = green \(desired version 3, cause "start"\)$`,
		when + `board  reports what it is$`,
		when + `hub    has reported \{"battery":8[78],"fan":\{"rpm":\{"ac":200,"av":3,"value":1500\}\}` + last,
		when + `power  is switched off, and the board ends in order$`,
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, want := range wants {
		if i == len(lines) {
			t.Fatalf("the story ends before %q:\n%s", want, text)
		}
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d: got %q, want %q", i+1, lines[i], want)
		}
	}
	if len(lines) > len(wants) {
		t.Errorf("the story goes on after its end: %q", lines[len(wants):])
	}
}

// A stage is a story's output, and where a test interferes with the story: as
// the step begins whose title has the number.
type stage struct {
	strings.Builder
	t    *testing.T
	hub  *hubtest.Hub
	dir  string
	end  context.CancelFunc // the time is up
	step string
	do   func(*stage) error
}

func (s *stage) Write(p []byte) (int, error) {
	if strings.HasPrefix(string(p), "\n"+s.step+". ") {
		if err := s.do(s); err != nil {
			s.t.Errorf("interfere with step %s: %v", s.step, err)
		}
	}
	return s.Builder.Write(p)
}

// intercept does something to the next message of an operation that holds a
// text, and the time is up.
func (s *stage) intercept(op hubtest.Op, text string, do hubtest.Action) {
	s.hub.Intercept(func(m hubtest.Message) bool {
		hit := hubtest.FromDevice(name, op)(m) && strings.Contains(string(m.Body), text)
		if hit {
			s.end()
		}
		return hit
	}, do)
}

func (s *stage) remove(file string) error { return os.Remove(filepath.Join(s.dir, file)) }

// TestStoryBreaks holds that no step is told that did not happen.
func TestStoryBreaks(t *testing.T) {
	tests := []struct {
		desc string
		step string
		do   func(*stage) error
		want string
		is   error // nil for none
	}{
		{"the board cannot start", "1", func(s *stage) error { return s.remove("hub.pem") },
			`step 1, "the board boots, and does what the back end desires", did not happen: ` +
				`the board ended before it said "boots", after ["offline: the board: open `, nil},
		{"the hub refuses the identity", "1", func(s *stage) error { s.intercept(hubtest.Connect, "", hubtest.Fail(401003)); return nil },
			`step 1, "the board boots, and does what the back end desires", did not happen: ` +
				`the board did not say "is online", but [`, context.Canceled},
		{"the store goes with the power", "4", func(s *stage) error { return s.remove("twin.store") },
			`step 6, "the line is back, and nothing is lost", did not happen: ` +
				`the board said ["sets heater.celsius = 21 (desired version 3, cause \"start\")"], which nobody expected`, nil},
		{"the hub loses the report", "6", func(s *stage) error {
			s.intercept(hubtest.PatchReported, "battery", hubtest.Drop())
			return nil
		}, `step 6, "the line is back, and nothing is lost", did not happen: `, context.Canceled},
		{"something has changed after all", "7", func(s *stage) error {
			_, err := s.hub.Device(name).SetDesired(`{"heater":{"celsius":22}}`)
			return err
		}, `step 7, "one more boot: only the lamp, which forgets, is set again", did not happen: ` +
			`the board said ["sets heater.celsius = 22 (desired version 4, cause \"start\")"], which nobody expected`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.desc, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s := &stage{t: t, hub: hubtest.New(t, nil), dir: t.TempDir(), end: cancel, step: tt.step, do: tt.do}
			err := tell(ctx, s, s.hub, s.dir)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want an error that begins with %q and matches %v\n%s", err, tt.want, tt.is, s.String())
			}
		})
	}
}
