package chunk

import "sync"

// InWaves encodes chunks 0 to n-1, as many side by side as there are encoders,
// and writes each wave in order, before the next is encoded.
func InWaves[E any](n int, encoders []E, encode func(e E, i int), write func(e E, i int) error) error {
	for first := 0; first < n; first += len(encoders) {
		wave := encoders[:min(len(encoders), n-first)]
		var wg sync.WaitGroup
		for k, e := range wave {
			wg.Go(func() { encode(e, first+k) })
		}
		wg.Wait()
		for k, e := range wave {
			if err := write(e, first+k); err != nil {
				return err
			}
		}
	}
	return nil
}
