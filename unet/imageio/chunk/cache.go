package chunk

// cacheBytes bounds the decoded chunks kept for regions that share them.
const cacheBytes = 64 << 20

// Key names a chunk: its number in an array, page or level.
type Key struct{ Array, Chunk int }

// Cache keeps the chunks decoded last, up to cacheBytes in all, and the
// newest one in any case.
type Cache struct {
	chunks map[Key][]byte
	order  []Key
	bytes  int
	spare  []byte // memory of a chunk that was dropped
}

// Get returns a chunk, nil when it is not kept.
func (c *Cache) Get(k Key) []byte { return c.chunks[k] }

// Make returns n bytes of any content for the next chunk.
func (c *Cache) Make(n int) []byte {
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

// Put keeps a chunk, whose memory is the cache's from now on.
func (c *Cache) Put(k Key, b []byte) {
	if c.chunks == nil {
		c.chunks = map[Key][]byte{}
	}
	c.chunks[k] = b
	c.order = append(c.order, k)
	c.bytes += len(b)
}
