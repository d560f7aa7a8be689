package edge

// What the fuzz targets feed.
var (
	ParseDigest    = parseDigest
	ParseBundle    = parseBundle
	NewStatusError = newStatusError
)

// URLs are what a daemon would be asked; none at a desk.
func URLs(getenv func(string) string) []string {
	if getenv(varWorkload) == "" {
		return nil
	}
	_, d, err := readInside(getenv, DefaultTimeout)
	if err != nil {
		return []string{err.Error()}
	}
	return []string{d.sign, d.bundle}
}
