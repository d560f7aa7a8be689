package device_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/devicetwin/devicetwin-go/device"
	"github.com/devicetwin/devicetwin-go/device/hubtest"
	"github.com/devicetwin/devicetwin-go/twin"
)

// The judges, and a change of the code that each of them was seen to find, with
// the number of seeds that it took. Those without one were not seen to find any.
//
//	asleep   a client that uses no twin opens it (1)
//	answer   an error of a listener, or its Goexit, goes without an answer (2); an
//	         answer is not given to the store (81)
//	back     a listener hears an older version
//	beside   a listener is called while another one has the turn (1)
//	chain    Old is not what the listener heard before
//	ends     Connect, Close or the state at the end name a failure for good; with
//	         rubbish of a credential that ends the client (8, truth comes first)
//	flash    more bytes are written than the events explain
//	heard    a patch to a twin without versions is not applied (2)
//	law      names outlive what a GET takes away: Patch sets what is gone (30)
//	lost     Shutdown does not drain (5); a patch that left before the first GET is
//	         forgotten (12); an image of the store that is older than the hub is
//	         believed (44)
//	mail     17 messages are without an answer; one in flight counts as withdrawn;
//	         Shutdown does not count what is left; a message is lost (each below 20)
//	memory   GetTwin calls stay in line once their callers have gone (1); a store
//	         that failed is not tried again (44)
//	once     in an exact story, a report or an answer is sent twice: a hub that
//	         refuses GETs shows it, so exact stories have none
//	order    what is sent again bears no mark, or goes after what is new (5)
//	returns  ReportLater waits for the flash once its context has ended (18)
//	share    nothing is suspected (3); silence owes no GET (16); a version that jumps
//	         owes none (269)
//	states   OnState hears another state than State says
//	traffic  a hub that throttles one key gets the whole patch again and again (about 1,000);
//	         a GET that nobody called for follows the one before at once (8)
//	truth    rubbish of a credential ends the client (8)
//	twice    a GET names every listener that acknowledges (1)

// settleDown ends the chaos: the line stays up, nothing is intercepted, and
// a last cut lets the client find what was lost without a trace.
func (s *drama) settleDown() {
	s.calm()
	time.Sleep(5 * time.Minute)
	s.cutLine()
	for range 70 { // what is suspected is tried again within an hour
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !s.board.client.Stats().Outstanding && s.mailRests() {
			break
		}
	}
	time.Sleep(3 * time.Minute)
	synctest.Wait()
}

// calm ends what makes the line, the hub, the credential and the flash bad.
func (s *drama) calm() {
	if err := s.hub.Device("dev1").SetLine(true); err != nil {
		s.Fatal(err)
	}
	for _, remove := range s.faults {
		remove()
	}
	s.faults = nil
	s.cred.set("")
	s.whims.repeat(0)
	if s.board.mem != nil {
		s.board.mem.broken(nil)
		s.board.mem.delayed(20 * time.Millisecond)
	}
	if s.board.flash != nil {
		s.board.flash.turn(weather{})
	}
	for _, e := range s.board.ears {
		e.mu.Lock()
		if e.mood == "takes long" {
			e.mood = ""
		}
		e.mu.Unlock()
	}
	s.slowTell.Store(0)
}

// watch sees every message, also those that something befalls.
func (s *drama) watch(m hubtest.Message) bool {
	s.trace(m)
	if m.Device == "dev1" {
		s.opened(m)
	}
	if m.Device == "dev1" && m.Op == hubtest.GetTwin && m.FromHub && m.Status == 200 {
		s.shown.Store(s.anew.Load())
	}
	if m.Device == "dev1" {
		s.paced(m)
	}
	if m.Device != "dev1" || m.Op != hubtest.PatchReported {
		return false
	}
	if m.FromHub {
		s.mu.Lock()
		brings := s.flying[m.RequestID]
		delete(s.flying, m.RequestID)
		s.mu.Unlock()
		if m.Status < 300 && s.exact {
			s.taken(brings)
		}
		return false
	}
	var brings map[string]any
	if json.Unmarshal(m.Body, &brings) != nil {
		s.fault("truth", "a patch that is no object: %s", m.Body)
		return false
	}
	var had map[string]any
	if s.exact { // else it may be sent twice for good reasons
		tw, err := s.hub.Device("dev1").Twin()
		if err != nil || json.Unmarshal(tw.Reported.JSON, &had) != nil {
			s.fault("truth", "no twin: %v, %s", err, tw.Reported.JSON)
		}
		if n, _ := brings["n"].(float64); n != 0 && n == had["n"] {
			s.fault("once", "patch %s was sent twice, version %d", m.Body, tw.Reported.Version)
		}
	}
	again := map[string]any{}
	for _, key := range []string{"k", "o", "m"} {
		is, _ := brings[key].(map[string]any)
		was, _ := had[key].(map[string]any)
		av, ok := is["av"].(float64)
		if !ok || av == 0 || s.noVersions {
			continue
		}
		if e := s.acks[key]; !e.wasDelivered(int64(av)) {
			e.wrong("once", "version %v is answered, and was never delivered: %s", av, m.Body)
		}
		if was["av"] == av {
			again[key] = av
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying[m.RequestID] = again
	return false
}

// taken notes the answers that the hub took, and had already.
func (s *drama) taken(again map[string]any) {
	for key, av := range again {
		e, version := s.acks[key], int64(av.(float64))
		e.mu.Lock()
		if e.again[version]++; e.again[version] >= e.delivered[version] {
			e.wrong("once", "the hub took the answer to version %d %d times for %d deliveries", version, e.again[version]+1, e.delivered[version])
		}
		e.mu.Unlock()
	}
}

func (e *ear) wasDelivered(version int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.delivered[version] > 0
}

// judge looks at the end of the story.
func (s *drama) judge() {
	c := s.board.client
	if got := c.State(); got.Phase != device.Online || got.Missing != nil {
		s.fault("ends", "at the end the client is %v: %v, missing %v", got.Phase, got.Err, got.Missing)
	}
	s.judgeHub("lost", "at the end")
	s.judgeEars()
	s.judgeMates()
	s.judgeTraffic()
	s.judgeStates()
	s.judgeMail()
	s.judgePosted("at the end", nil)
	if !s.mailRests() {
		s.fault("mail", "at the end messages wait: %+v", s.board.client.Stats().Telemetry)
	}
	k := c.Kept()
	if k.Gets+k.Reports+k.Calls+k.Returns+k.Writes+k.Wishes > 0 || k.IdleNames > 64 || k.StoreFailed && !s.lies {
		s.fault("memory", "at rest the client keeps %+v", k)
	}
	s.lineIsWell()
}

// judgeHub asks whether the hub has what firmware said.
func (s *drama) judgeHub(judge, when string) {
	tw, err := s.hub.Device("dev1").Twin()
	if err != nil {
		s.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(tw.Reported.JSON, &doc); err != nil {
		s.Fatal(err)
	}
	has, said := withoutNulls(doc), withoutNulls(s.firmware)
	s.mu.Lock()
	if g, _ := has["g"].(float64); s.guarded != nil && !s.guarded[g] && !s.guarding {
		s.fault1(judge, "%s the hub has g %v, which should be one of %v", when, g, slices.Collect(maps.Keys(s.guarded)))
	}
	s.mu.Unlock()
	for _, e := range s.board.ears {
		e.mu.Lock()
		if n, _ := has[e.key()].(float64); int(n) < e.sure && !s.fuzzy[e.key()] {
			s.fault(judge, "%s the hub has %s %v, and %d was confirmed", when, e.key(), n, e.sure)
		}
		e.mu.Unlock()
	}
	ofFirmware(has)
	for key := range s.fuzzy {
		delete(has, key)
		delete(said, key)
	}
	if got, want := encode(s.T, has), encode(s.T, said); got != want {
		s.fault(judge, "%s the hub has %s\nfirmware said %s\nunsure %v", when, got, want, s.fuzzy)
	}
	if wanted := s.board.client.Reported(); when == "at the end" {
		if got, want := visible(s.T, wanted.JSON(), "$version"), visible(s.T, tw.Reported.JSON); got != want {
			s.fault(judge, "Reported is %s, the hub has %s", got, want)
		}
	}
}

// ofFirmware takes out of the reported half what others than firmware say.
func ofFirmware(doc map[string]any) map[string]any {
	maps.DeleteFunc(doc, func(key string, _ any) bool {
		return slices.Contains([]string{"k", "o", "m", "g", "probe"}, key) || strings.HasPrefix(key, "by-")
	})
	return doc
}

// judgeEars asks whether each listener heard what is desired, and whether that
// is acknowledged to the letter: nothing is left of any acknowledgement before.
func (s *drama) judgeEars() {
	tw, err := s.hub.Device("dev1").Twin()
	if err != nil {
		s.Fatal(err)
	}
	desired, err := twin.ParsePatch([]byte(visible(s.T, tw.Desired.JSON)))
	if err != nil {
		s.Fatal(err)
	}
	var reported map[string]json.RawMessage
	if err := json.Unmarshal([]byte(visible(s.T, tw.Reported.JSON)), &reported); err != nil {
		s.Fatal(err)
	}
	for _, e := range s.board.ears {
		e.mu.Lock()
		want := desired.At(e.path)
		text := string(want.JSON())
		if e.path == "" && text == "" {
			text = "{}"
		}
		switch {
		case e.last.maybe != nil && !slices.Contains(e.last.maybe, text):
			e.wrong("heard", "may have heard any of %q, the hub has %q", e.last.maybe, text)
		case e.last.maybe == nil && e.value != text:
			e.wrong("heard", "heard last %q, the hub has %q", e.value, text)
		}
		if e.ack && want.Exists() {
			e.judgeAnswer(reported[e.path], want)
		}
		e.mu.Unlock()
	}
}

// judgeAnswer asks for the answer to what was heard last. The caller holds mu.
func (e *ear) judgeAnswer(has json.RawMessage, desired twin.Value) {
	var got map[string]any
	_ = json.Unmarshal(has, &got)
	ad, _ := got["ad"].(string)
	var want []string
	for _, a := range e.answered.any() {
		if a == nil {
			continue
		}
		value := map[string]any{"value": json.RawMessage(a.value), "ac": a.code, "av": a.version}
		if ad != "" {
			value["ad"] = ad
		}
		text := encode(e.s.T, value)
		if encode(e.s.T, got) == text && strings.Contains(ad, a.text) {
			return
		}
		want = append(want, text+" and "+a.text)
	}
	e.wrong("answer", "to %v the hub has %s, want one of %q", desired, has, want)
}

// judgeMemory asks what the client keeps while the story goes on.
func (s *drama) judgeMemory() {
	k := s.board.client.Kept()
	if waiting := s.gets.Load(); k.GoneGets > 0 || int64(k.Gets) > waiting {
		s.fault("memory", "%d GetTwin calls are kept, %d of them have ended, and %d may wait", k.Gets, k.GoneGets, waiting)
	}
	s.board.look()
	if k.States > 32 || k.IdleNames > 64 || k.Writes > 512 {
		s.fault("memory", "the client keeps %+v", k)
	}
}

// judgeTraffic asks whether the whole story cost more than its events explain.
func (s *drama) judgeTraffic() {
	minutes := int(time.Since(s.start)/time.Minute) + 1
	n := s.hub.Device("dev1").Stats()
	if n.Connects > 8*minutes || n.Gets > 14*minutes || n.Patches > 20*minutes {
		s.fault("traffic", "a storm: %+v in %d minutes", n, minutes)
	}
	written := 0
	if s.board.mem != nil {
		written = s.board.mem.wrote()
	} else if s.board.flash != nil {
		written = s.board.flash.wrote()
	}
	events := s.n + s.d + s.changes + s.disturbed + n.Connects + n.Patches
	if limit := 64<<10 + events*2<<10; written > limit {
		s.fault("flash", "%d bytes were written for %d events, %d allowed", written, events, limit)
	}
}

// lineIsWell asks whether the last connection hears of changes by itself.
func (s *drama) lineIsWell() {
	for _, e := range s.board.ears {
		e.mu.Lock()
		e.mood = ""
		e.mu.Unlock()
	}
	time.Sleep(time.Minute)
	before := s.hub.Device("dev1").Stats()
	s.setDesired(`{"well":true}`)
	time.Sleep(3 * time.Second)
	synctest.Wait()
	e := s.board.ears["well"]
	e.mu.Lock()
	got := e.value
	e.mu.Unlock()
	if got != "true" {
		s.fault("heard", "a change on a line that is well was heard as %q", got)
	}
	after := s.hub.Device("dev1").Stats()
	if gets := after.Gets - before.Gets; gets > after.Connects-before.Connects { // a token may have been renewed
		s.fault("heard", "it took %d GETs", gets)
	}
}

// over ends the client when all is well, and waits for every call.
func (s *drama) over() {
	s.n++
	s.say(twin.Set("n", s.n), map[string]any{"n": s.n})
	for range 20 {
		if s.mail.opts.MaxPerSecond == 0 { // else a large one may take longer than Shutdown waits
			s.postOne(true)
		}
	}
	if err := s.end("Shutdown", 2*time.Minute, func() error {
		ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
		defer cancel()
		return s.board.client.Shutdown(ctx)
	}); err != nil {
		s.fault("lost", "Shutdown when all is well: %v", err)
	}
	s.judgePosted("after Shutdown", nil)
	if n := s.atHub("n"); n != float64(s.n) {
		s.fault("lost", "after Shutdown the hub has n %v, want %d", n, s.n)
	}
	returned := make(chan struct{})
	go func() { s.calls.Wait(); close(returned) }()
	select {
	case <-returned:
	case <-time.After(time.Minute):
		s.fault("returns", "a minute after Close calls still wait")
	}
}

// fault1 is fault for a caller that holds mu.
func (s *drama) fault1(judge, format string, args ...any) {
	if len(s.verdicts) < maxVerdicts {
		s.verdicts = append(s.verdicts, verdict{judge, fmt.Sprintf(format, args...)})
	}
}
