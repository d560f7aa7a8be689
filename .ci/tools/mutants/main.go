// Mutants changes the library's code in one small place at a time, runs the
// tests that could see the change, and reports the changes that none saw. It is
// run from the root of the tree by .ci/mutants, which says more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	list := flag.Bool("list", false, "print the mutants and end")
	apply := flag.Bool("apply", false, "check that each mutant applies and compiles, run no test")
	quick := flag.Bool("quick", false, "run the tests that the list names alone, and all only for mutants without such")
	jobs := flag.Int("j", runtime.NumCPU(), "mutants that are tested at the same time")
	dir := flag.String("dir", ".ci/tools/mutants", "folder of the lists, *.mutants")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: .ci/mutants [flags] [part of a name ...]")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *list, options{*apply, *quick}, max(*jobs, 1), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, list bool, opts options, jobs int, names []string) error {
	mutants, err := read(dir)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		mutants = slices.DeleteFunc(mutants, func(m *mutant) bool {
			return !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(m.name, name) })
		})
		if len(mutants) == 0 {
			return fmt.Errorf("no mutant is called %s; .ci/mutants -list prints all", strings.Join(names, " or "))
		}
	}
	if list {
		for _, m := range mutants {
			fmt.Printf("%s\n\t%s: %s\n", m.name, m.file, m.why)
			if m.unseen != "" {
				fmt.Printf("\tunseen: %s\n", m.unseen)
			}
		}
		return nil
	}
	tmp, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	began := time.Now()
	if len(names) == 0 && opts == (options{}) {
		// A test that fails by itself would see every mutant.
		if err := baseline(ctx, tmp, mutants); err != nil {
			return err
		}
		fmt.Printf("%6.1f s  the unchanged code passes\n", time.Since(began).Seconds())
	}
	results := make([]result, len(mutants))
	next := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range jobs {
		wg.Go(func() {
			for i := range next {
				results[i] = judge(ctx, filepath.Join(tmp, fmt.Sprint(i)), mutants[i], opts)
				mu.Lock()
				fmt.Printf("%6.1f s  %-44s %s\n", results[i].took.Seconds(), mutants[i].name, results[i])
				mu.Unlock()
			}
		})
	}
	for i := range mutants {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return summary(mutants, results, time.Since(began))
}

// summary prints what calls for work again, and returns an error if there is
// such.
func summary(mutants []*mutant, results []result, took time.Duration) error {
	counts := map[verdict]int{}
	var bad []string
	for i, r := range results {
		counts[r.verdict]++
		if r.verdict != killed && r.verdict != unseen && r.verdict != applied {
			bad = append(bad, fmt.Sprintf("%s (%s)\n\t%s\n\t%s", mutants[i].name, mutants[i].file, mutants[i].why, r))
		}
	}
	fmt.Printf("\n%d mutants in %.0f s: %d killed, %d unseen for a reason, %d survived, %d errors of the list\n",
		len(results), took.Seconds(), counts[killed], counts[unseen], counts[survived], counts[wrong])
	if len(bad) == 0 {
		return nil
	}
	fmt.Println("\n" + strings.Join(bad, "\n"))
	return fmt.Errorf("%d of %d mutants call for a test, or for a correction of the list", len(bad), len(results))
}
