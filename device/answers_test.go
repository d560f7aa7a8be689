package device_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/transport"
	"github.com/devicetwin/devicetwin-go/transport/amqp"
	"github.com/devicetwin/devicetwin-go/twin"
)

// wantBackoff holds the spaces between attempts to delays that double from first
// to most, each picked from its upper half.
func wantBackoff(t *testing.T, at []time.Time, first, most, slack time.Duration) {
	t.Helper()
	for i := range len(at) - 1 {
		d := min(first<<min(i, 20), most)
		if got := at[i+1].Sub(at[i]); got < d/2 || got > d+slack {
			t.Errorf("attempt %d came after %v, want %v to %v", i+2, got, d/2, d)
		}
	}
}

// TestAnswersToAGet holds the table of answers: what GetTwin returns, and when
// the twin is asked for again.
func TestAnswersToAGet(t *testing.T) {
	for name, tc := range map[string]struct {
		act   hubtest.Action
		waits bool // GetTwin does
		is    error
	}{
		"429":    {hubtest.Fail(429001), true, transport.ErrThrottled},
		"500":    {hubtest.Fail(500001), true, transport.ErrUnavailable},
		"503":    {hubtest.Fail(503001), true, transport.ErrUnavailable},
		"404":    {hubtest.Fail(404001), false, transport.ErrNotFound},
		"403":    {hubtest.Fail(403004), false, nil},
		"401":    {hubtest.Fail(401003), false, transport.ErrUnauthorized},
		"400":    {hubtest.Fail(400004), false, transport.ErrRejected},
		"broken": {hubtest.Answer(200, `{}`), false, twin.ErrIncomplete},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				get := hubtest.FromDevice("dev1", hubtest.GetTwin)
				at := w.times(get)
				remove := w.hub.Intercept(get, tc.act.Times(-1))
				c := w.client(nil)
				if err := c.Connect(soon(t, 10*time.Minute)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Connect, whose GET the hub does not answer: %v", err)
				}
				if gets := at(); len(gets) < 8 || len(gets) > 20 {
					t.Errorf("%d GETs in ten minutes", len(gets))
				}
				wantBackoff(t, at(), time.Second, 2*time.Minute, 2*time.Second)
				if s := c.State(); s.Phase != device.Connecting || s.Err == nil {
					t.Errorf("the state is %+v", s)
				}
				start := time.Now()
				_, err := c.GetTwin(soon(t, 5*time.Minute))
				switch took := time.Since(start); {
				case tc.waits != errors.Is(err, context.DeadlineExceeded) || tc.is != nil && !errors.Is(err, tc.is):
					t.Errorf("GetTwin: %v after %v", err, took)
				case !tc.waits && took > 2*time.Minute:
					t.Errorf("GetTwin failed after %v", took)
				}
				remove()
				time.Sleep(2*time.Minute + time.Second)
				if got := c.State().Phase; got != device.Online {
					t.Errorf("once the hub answers the client is %v", got)
				}
				if _, err := c.GetTwin(soon(t, time.Second)); err != nil {
					t.Errorf("GetTwin: %v", err)
				}
			})
		})
	}
}

// TestAnswersToAPatch that put it off: it is sent again, with a back-off, and its
// caller waits.
func TestAnswersToAPatch(t *testing.T) {
	for _, code := range []int{429001, 403004, 404001, 401003} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				c := w.online(nil)
				patch := hubtest.FromDevice("dev1", hubtest.PatchReported)
				at := w.times(patch)
				w.hub.Intercept(patch, hubtest.Fail(code).Times(9))
				if _, err := c.UpdateReported(soon(t, time.Hour), twin.Set("n", 1)); err != nil {
					t.Errorf("UpdateReported: %v", err)
				}
				if n := len(at()); n != 10 {
					t.Errorf("%d patches, want 10", n)
				}
				wantBackoff(t, at(), time.Second, 2*time.Minute, time.Second)
				if s := c.Stats(); s.Retried != 9 || s.Connects != 1 {
					t.Errorf("the client counts %+v", s)
				}
				// A success ends the back-off.
				w.hub.Intercept(patch, hubtest.Fail(code))
				start := time.Now()
				if _, err := c.UpdateReported(soon(t, time.Hour), twin.Set("n", 2)); err != nil || time.Since(start) > time.Second {
					t.Errorf("UpdateReported: %v after %v", err, time.Since(start))
				}
			})
		})
	}
}

// TestGetHonoursRetryAfter, for an hour at most, and no call of GetTwin makes one
// sooner.
func TestGetHonoursRetryAfter(t *testing.T) {
	for _, tc := range []struct{ asked, want time.Duration }{{10 * time.Minute, 10 * time.Minute}, {48 * time.Hour, time.Hour}} {
		story(t, func(t *testing.T, w *world) {
			w.dialer = editing{w.dial(), edited{
				in: func(f *transport.Frame) {
					if f.Status == 429 {
						f.RetryAfter = tc.asked
					}
				},
				out: func(transport.Frame) bool { return true },
			}}
			c := w.online(nil)
			w.hub.Intercept(hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.Fail(429001))
			start := time.Now()
			if _, err := c.GetTwin(soon(t, 3*time.Hour)); err != nil {
				t.Errorf("GetTwin: %v", err)
			}
			if took := time.Since(start); took < tc.want || took > tc.want+time.Minute {
				t.Errorf("asked for a pause of %v, GetTwin took %v, want %v", tc.asked, took, tc.want)
			}
		})
	}
}

// TestQuotaIsSpreadAfterMidnight: what a quota put off comes in the five minutes
// after midnight UTC, not all at once.
func TestQuotaIsSpreadAfterMidnight(t *testing.T) {
	var after []time.Duration
	for range 20 {
		story(t, func(t *testing.T, w *world) {
			c := w.online(nil)
			midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
			quota := func(m hubtest.Message) bool {
				return !m.FromHub && (m.Op == hubtest.PatchReported || m.Op == hubtest.GetTwin) && time.Now().Before(midnight)
			}
			w.hub.Intercept(quota, hubtest.Fail(403002).Times(-1))
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := c.GetTwin(soon(t, 24*time.Hour)); err != nil || time.Until(midnight) > 0 || time.Since(midnight) > 5*time.Minute {
					t.Errorf("GetTwin: %v, %v after midnight", err, time.Since(midnight))
				}
			})
			wg.Go(func() {
				if _, err := c.UpdateReported(soon(t, 24*time.Hour), twin.Set("n", 1)); err != nil || time.Until(midnight) > 0 || time.Since(midnight) > 5*time.Minute {
					t.Errorf("UpdateReported: %v, %v after midnight", err, time.Since(midnight))
				}
				after = append(after, time.Since(midnight))
			})
			wg.Wait()
		})
	}
	if spread := slices.Max(after) - slices.Min(after); spread < time.Minute {
		t.Errorf("20 clients came back within %v", spread)
	}
}

// TestSentAgainAfterEightRefusedGets: a patch of unknown fate waits for eight
// GETs that the hub refuses, and for no more.
func TestSentAgainAfterEightRefusedGets(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		get, patch := hubtest.FromDevice("dev1", hubtest.GetTwin), hubtest.FromDevice("dev1", hubtest.PatchReported)
		gets, patches := w.times(get), w.times(patch)
		w.hub.Intercept(get, hubtest.Fail(404001).Times(-1))
		w.hub.Intercept(hubtest.FromHub("dev1", hubtest.PatchReported), hubtest.Drop())
		if err := c.ReportLater(t.Context(), twin.Set("n", 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		all := patches()
		if len(all) != 2 {
			t.Fatalf("%d patches, want 2", len(all))
		}
		before := 0
		for _, at := range gets() {
			if at.Before(all[1]) || at.Equal(all[1]) {
				before++
			}
		}
		if before != 8 {
			t.Errorf("%d GETs before the patch was sent again, want 8", before)
		}
	})
}

// TestReportsHaveBounds holds the figures of the JSON of reports.
func TestReportsHaveBounds(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		c := w.online(nil)
		w.hub.Device("dev1").SetLine(false)
		// 4096 control characters count nothing at the hub, and are 24 KB of JSON.
		large := func(first, n int) (p twin.Patch) {
			for i := range n {
				p = p.Set(fmt.Sprintf("k%02d", first+i), strings.Repeat("\x01", 4096))
			}
			return p
		}
		if p := large(0, 6); len(p.JSON()) <= 128<<10 {
			t.Fatalf("%d bytes test nothing", len(p.JSON()))
		} else if err := c.ReportLater(t.Context(), p); !errors.Is(err, twin.ErrInvalid) {
			t.Errorf("a report of %d bytes: %v", len(p.JSON()), err)
		}
		for i := range 6 {
			if err := c.ReportLater(t.Context(), large(5*i, 5)); err != nil { // 120 KB each
				t.Errorf("a report of %d bytes: %v", len(large(0, 5).JSON()), err)
			}
		}
		if err := c.ReportLater(t.Context(), large(30, 3)); err != nil {
			t.Errorf("%d bytes in all: %v", len(c.Reported().JSON()), err)
		}
		if err := c.ReportLater(t.Context(), large(33, 1)); !errors.Is(err, twin.ErrInvalid) {
			t.Errorf("more than 800 KB in all (%d so far): %v", len(c.Reported().JSON()), err)
		}
		var longest int
		w.hub.Intercept(func(m hubtest.Message) bool {
			if hubtest.FromDevice("dev1", hubtest.PatchReported)(m) {
				longest = max(longest, len(m.Body))
			}
			return false
		}, hubtest.Pass())
		w.hub.Device("dev1").SetLine(true)
		time.Sleep(10 * time.Minute)
		if longest > 128<<10 || c.Stats().Outstanding {
			t.Errorf("a patch of %d bytes, outstanding %t", longest, c.Stats().Outstanding)
		}
	})
}

// TestEarlyReportsAreBounded: of what is reported before the first GET, values are
// all kept, and deletions while all of it is within 48 KB of JSON.
func TestEarlyReportsAreBounded(t *testing.T) {
	for _, tc := range []struct {
		deletions, values int
		kept              bool
	}{{1500, 4, true}, {10, 11, true}, {10, 13, false}, {4000, 7, false}} {
		story(t, func(t *testing.T, w *world) {
			first := w.online(nil)
			if _, err := first.UpdateReported(t.Context(), twin.Set("first", 1)); err != nil {
				t.Fatal(err)
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			c := w.client(nil)
			later := func(p twin.Patch) {
				if err := c.ReportLater(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			later(twin.Delete("first"))
			for i := range tc.deletions {
				later(twin.Delete(fmt.Sprintf("job%08d", i)))
			}
			for i := range tc.values { // control characters, of which a half holds more than 32 KB
				later(twin.Set(fmt.Sprintf("k%02d", i), strings.Repeat("\n", 2000)))
			}
			if err := c.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			got := w.reported()
			if n := strings.Count(got, `"k`); n != tc.values {
				t.Errorf("of %d values the hub has %d", tc.values, n)
			}
			if kept := !strings.Contains(got, "first"); kept != tc.kept {
				t.Errorf("%d deletions and %d values: the first deletion is kept: %t, want %t", tc.deletions, tc.values, kept, tc.kept)
			}
		})
	}
}

// TestTokenIsFetchedBesideReports: over AMQP a credential that takes its time
// holds up no report.
func TestTokenIsFetchedBesideReports(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.dialer = amqp.Dialer{Stream: w.hub.Stream}
		asked := make(chan struct{}, 10)
		hang := &hangingCredential{Credential: w.dev.Credential, asked: asked}
		w.dev.Credential = hang
		c := w.online(nil)
		<-asked // the first login
		hang.hang.Store(true)
		<-asked // the renewal, under way
		start := time.Now()
		if _, err := c.UpdateReported(t.Context(), twin.Set("n", 1)); err != nil || time.Since(start) > time.Second {
			t.Errorf("a report beside the renewal: %v after %v", err, time.Since(start))
		}
		if _, err := c.GetTwin(t.Context()); err != nil || time.Since(start) > 2*time.Second {
			t.Errorf("a GET beside the renewal: %v after %v", err, time.Since(start))
		}
		hang.hang.Store(false)
	})
}
