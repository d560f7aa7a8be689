package device_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/internal/quirk"
	"github.com/devicetwin/devicetwin-go/transport"
)

// Seeds of TestChaos: go test ./device -run Chaos -chaos.first 17 -chaos.seeds 1
var (
	chaosFirst  = flag.Uint64("chaos.first", 1, "first seed of TestChaos")
	chaosSeeds  = flag.Uint64("chaos.seeds", 60, "number of seeds of TestChaos")
	chaosTLS    = flag.Bool("chaos.tls", false, "TestChaos over TLS")
	chaosKeep   = flag.String("chaos.keep", "", "events of TestChaos to keep, such as 3,7,12; all if empty")
	chaosShrink = flag.Bool("chaos.shrink", false, "find a shorter story for each seed of TestChaos that fails")
)

// chaosEvents is how many events a story has.
const chaosEvents = 70

// TestChaos makes random stories of a bad line, a moody hub, busy firmware, bad
// flash and odd credentials, over the whole API. Judges that share no code with
// the client look at each: see the list in chaos_judge_test.go.
//
// A story is a list of events, each drawn from a seed of its own, so that leaving
// some out leaves the others as they are. What the client draws, such as the
// jitter of its back-offs, and the order of goroutines are not drawn from the
// seed: a story that fails rarely may need a few runs.
func TestChaos(t *testing.T) {
	keep := keptEvents(t)
	for seed := *chaosFirst; seed < *chaosFirst+*chaosSeeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := makeStory(t, seed, keep)
			failed := s.verdicts
			if len(failed) > 0 && *chaosShrink {
				s = shrink(t, seed, s)
			}
			for _, v := range s.verdicts {
				t.Errorf("%s: %s", v.judge, v.text)
			}
			if len(s.verdicts) == 0 && len(failed) > 0 { // it fails at times
				t.Errorf("%s: %s", failed[0].judge, failed[0].text)
			}
			if t.Failed() {
				t.Logf("the story:\n%s", strings.Join(s.words, "\n"))
				t.Logf("again: go test ./device -run TestChaos -over %s -chaos.first %d -chaos.seeds 1 -chaos.keep %s", *over, seed, listed(s.keep))
			}
		})
	}
}

func keptEvents(t *testing.T) (keep []int) {
	for i := range chaosEvents {
		keep = append(keep, i)
	}
	if *chaosKeep == "" || *chaosKeep == "all" {
		return keep
	}
	keep = nil
	for _, field := range strings.Split(*chaosKeep, ",") {
		i, err := strconv.Atoi(field)
		if err != nil && field != "none" {
			t.Fatalf("-chaos.keep: %v", err)
		} else if err == nil {
			keep = append(keep, i)
		}
	}
	return keep
}

func listed(events []int) string {
	switch len(events) {
	case chaosEvents:
		return "all"
	case 0:
		return "none"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(events), " ", ","), "[]")
}

// makeStory plays one story to its end.
func makeStory(t *testing.T, seed uint64, keep []int) (s *drama) {
	rnd := rand.New(rand.NewPCG(seed, 4))
	opts := *hubtest.Options{}.With(quirk.Set{Merge: quirk.MergeRule(rnd.IntN(3)), RewriteNumbers: rnd.IntN(2) == 0})
	storyAt(t, opts, func(t *testing.T, w *world) {
		if *chaosTLS {
			w.stream = transport.TLS(&transport.TLSOptions{Config: hubConfig(w.hub), DialContext: w.hub.DialContext})
		}
		s = newDrama(t, w, seed, keep, rnd)
		s.play()
	})
	return s
}

// maxShrinks bounds the stories that are tried for a shorter one.
const maxShrinks = 300

// shrink leaves out halves of a story's events, then smaller parts, then single
// ones, while the same judge still fails. It returns the shortest story.
func shrink(t *testing.T, seed uint64, long *drama) *drama {
	best, judge, tries := long, long.verdicts[0].judge, 0
	fails := func(keep []int) bool {
		for range 2 { // what depends on jitter may need another run
			if tries++; tries > maxShrinks {
				return false
			}
			s := makeStory(t, seed, keep)
			if slices.ContainsFunc(s.verdicts, func(v verdict) bool { return v.judge == judge }) {
				best = s
				return true
			}
		}
		return false
	}
	for size := (len(best.keep) + 1) / 2; size > 0; {
		shorter := false
		for at := 0; at < len(best.keep); {
			keep := slices.Delete(slices.Clone(best.keep), at, min(at+size, len(best.keep)))
			if fails(keep) {
				shorter = true
			} else {
				at += size
			}
		}
		if size == 1 && !shorter {
			break
		}
		if !shorter || size > 1 {
			size = max(size/2, 1)
		}
		if tries > maxShrinks {
			break
		}
	}
	t.Logf("%d of %d events are left after %d tries", len(best.keep), len(long.keep), tries)
	return best
}

// A verdict is what a judge found.
type verdict struct{ judge, text string }

// maxVerdicts bounds what one story reports.
const maxVerdicts = 8

// fault notes what a judge found.
func (s *drama) fault(judge, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.verdicts) < maxVerdicts {
		s.verdicts = append(s.verdicts, verdict{judge, fmt.Sprintf("%v: ", time.Since(s.start).Round(time.Millisecond)) + fmt.Sprintf(format, args...)})
	}
}
