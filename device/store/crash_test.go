package store

import (
	"fmt"
	"iter"
	"maps"
	"slices"
)

// pageSize is how much of a file reaches this flash at once: little, so that
// records of a few bytes lie in several pages, and several in one.
const pageSize = 32

// A crash is a disk at the moment when power fails: what is durable, and what
// may or may not be.
type crash struct {
	names  map[string]*inode // durable
	dirOps []op              // since the last fsync of the folder
	files  map[*inode]*crashed
	stale  []byte // what an earlier file had, in blocks that are used again
}

// A crashed is a file's share of it.
type crashed struct {
	durable []byte
	pending []op // since its last fsync
}

// crashAt is a power cut after the first k changes of a disk.
func (d *fakeDisk) crashAt(k int) *crash {
	c := &crash{names: maps.Clone(d.start), files: map[*inode]*crashed{}}
	for _, ino := range d.start {
		c.files[ino] = &crashed{durable: ino.first}
	}
	for _, o := range d.ops[:k] {
		f := c.files[o.ino]
		switch o.kind {
		case opCreate:
			c.files[o.ino] = &crashed{}
			c.dirOps = append(c.dirOps, o)
		case opRename, opRemove:
			if old := c.files[c.kernelNames()["twin"]]; o.to == "twin" && old != nil {
				c.stale = old.kernel()
			}
			c.dirOps = append(c.dirOps, o)
		case opSyncDir:
			c.names, c.dirOps = c.kernelNames(), nil
		case opWrite, opTruncate:
			f.pending = append(f.pending, o)
		case opSync:
			f.durable, f.pending = f.kernel(), nil
		}
	}
	return c
}

func (c *crash) kernelNames() map[string]*inode { return c.namesAfter(len(c.dirOps)) }

// namesAfter is the folder with the first n changes in it: file systems keep
// those in order.
func (c *crash) namesAfter(n int) map[string]*inode {
	names := maps.Clone(c.names)
	for _, o := range c.dirOps[:n] {
		switch o.kind {
		case opCreate:
			names[o.name] = o.ino
		case opRename:
			delete(names, o.name)
			names[o.to] = o.ino
		case opRemove:
			delete(names, o.name)
		}
	}
	return names
}

// kernel is a file as the kernel has it.
func (f *crashed) kernel() []byte { return f.after(len(f.pending)) }

// after is a file with its first n unsynced changes.
func (f *crashed) after(n int) []byte {
	data := slices.Clone(f.durable)
	for _, o := range f.pending[:n] {
		data = applied(data, o)
	}
	return data
}

func applied(data []byte, o op) []byte {
	if o.kind == opTruncate {
		return resize(data, o.off)
	}
	return writeAt(data, o.off, o.data)
}

// images are all the disks that may be found after the cut, each told once,
// with a few words about it.
func (c *crash) images() iter.Seq2[string, map[string][]byte] {
	return func(yield func(string, map[string][]byte) bool) {
		seen := map[string]bool{}
		for n := range len(c.dirOps) + 1 {
			names := c.namesAfter(n)
			for _, varied := range slices.Sorted(maps.Keys(names)) {
				for what, data := range c.files[names[varied]].variants(c.stale) {
					image := map[string][]byte{}
					for name, ino := range names {
						image[name] = c.files[ino].kernel()
					}
					image[varied] = data
					if key := fmt.Sprintf("%q", image); !seen[key] {
						seen[key] = true
						if !yield(fmt.Sprintf("%d changes of the folder, %s %s", n, varied, what), image) {
							return
						}
					}
				}
			}
			if len(names) == 0 && !yield("an empty folder", nil) {
				return
			}
		}
	}
}

// variants are the states in which a file's unsynced changes may leave it.
func (f *crashed) variants(stale []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i, o := range f.pending { // in order, and the last one torn
			if !yield(fmt.Sprintf("with %d changes", i), f.after(i)) {
				return
			}
			for n := range len(o.data) {
				torn := o
				torn.data = o.data[:n]
				if !yield(fmt.Sprintf("with %d changes and %d bytes of the next", i, n), applied(f.after(i), torn)) {
					return
				}
			}
		}
		if !yield("whole", f.kernel()) {
			return
		}
		for what, data := range f.pageLoss(stale) {
			if !yield(what, data) {
				return
			}
		}
	}
}

// pageLoss is a file whose new size is durable, while of its dirty pages any
// subset is: the others hold what was there before, or, where nothing was,
// zeros, an erased page or a page of an earlier file.
func (f *crashed) pageLoss(stale []byte) iter.Seq2[string, []byte] {
	whole := f.kernel()
	var dirty []int
	for at := 0; at < len(whole); at += pageSize {
		end := min(at+pageSize, len(whole))
		if end > len(f.durable) || string(whole[at:end]) != string(f.durable[at:end]) {
			dirty = append(dirty, at)
		}
	}
	return func(yield func(string, []byte) bool) {
		for _, fill := range []string{"zero", "erased", "stale"} {
			for _, lost := range subsets(dirty) {
				data := slices.Clone(whole)
				for _, at := range lost {
					for i := at; i < min(at+pageSize, len(whole)); i++ {
						data[i] = before(i, f.durable, stale, fill)
					}
				}
				if !yield(fmt.Sprintf("without pages %v, %s", lost, fill), data) {
					return
				}
			}
		}
	}
}

// before is a byte of a page that was never written.
func before(i int, durable, stale []byte, fill string) byte {
	switch {
	case i < len(durable):
		return durable[i]
	case fill == "stale" && i < len(stale):
		return stale[i]
	case fill == "erased":
		return 0xff
	}
	return 0
}

// subsets are all subsets of up to seven pages, or else those that lack or
// hold one alone, and every beginning.
func subsets(pages []int) (all [][]int) {
	if len(pages) <= 7 {
		for bits := range 1 << len(pages) {
			var s []int
			for i, p := range pages {
				if bits>>i&1 != 0 {
					s = append(s, p)
				}
			}
			all = append(all, s)
		}
		return all
	}
	for i, p := range pages {
		all = append(all, []int{p}, slices.Delete(slices.Clone(pages), i, i+1), pages[:i], pages[i:])
	}
	return all
}
