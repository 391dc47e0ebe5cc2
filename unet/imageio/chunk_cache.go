package imageio

// cacheBytes bounds the decoded chunks kept for regions that share them.
const cacheBytes = 64 << 20

type chunkKey struct{ array, chunk int }

// chunkCache keeps the chunks decoded last, up to cacheBytes in all, and the
// newest one in any case.
type chunkCache struct {
	chunks map[chunkKey][]byte
	order  []chunkKey
	bytes  int
	spare  []byte // memory of a chunk that was dropped
}

func (c *chunkCache) get(k chunkKey) []byte { return c.chunks[k] }

// make returns n bytes of any content for the next chunk.
func (c *chunkCache) make(n int) []byte {
	for len(c.order) > 0 && c.bytes+n > cacheBytes {
		old := c.order[0]
		c.order = c.order[1:]
		c.spare = c.chunks[old]
		c.bytes -= len(c.spare)
		delete(c.chunks, old)
	}
	if cap(c.spare) >= n && cap(c.spare) < 2*n {
		b := c.spare[:n]
		c.spare = nil
		return b
	}
	c.spare = nil
	return make([]byte, n)
}

func (c *chunkCache) put(k chunkKey, b []byte) {
	if c.chunks == nil {
		c.chunks = map[chunkKey][]byte{}
	}
	c.chunks[k] = b
	c.order = append(c.order, k)
	c.bytes += len(b)
}
