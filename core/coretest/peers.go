package coretest

import (
	"context"

	"unet/core"
)

// Peers returns n peers in this process, whose exchanges end with ctx.
func Peers(ctx context.Context, n int) []core.Peers {
	var list []core.Peers
	links := map[link]chan []byte{}
	for rank := range n {
		for peer := range n {
			for stream := range core.Streams {
				links[link{rank, peer, stream}] = make(chan []byte, 1)
			}
		}
	}
	for rank := range n {
		list = append(list, &peer{ctx: ctx, rank: rank, size: n, links: links})
	}
	return list
}

// link is the way from one peer to another.
type link struct{ from, to, stream int }

type peer struct {
	ctx        context.Context
	rank, size int
	links      map[link]chan []byte
}

func (p *peer) Rank() int { return p.rank }
func (p *peer) Size() int { return p.size }

func (p *peer) Exchange(with, stream int, send, receive []byte) error {
	select {
	case p.links[link{p.rank, with, stream}] <- append([]byte(nil), send...):
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
	select {
	case b := <-p.links[link{with, p.rank, stream}]:
		if copy(receive, b) != len(b) || len(b) != len(receive) {
			panic("coretest: a peer sends another number of bytes than is expected")
		}
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}
