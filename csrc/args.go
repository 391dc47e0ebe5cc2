// Package csrc holds the compute kernels in C and binds them.
//
// kernels.h documents every operation; the types here mirror its structs field
// by field. Pointers in them must point to memory from Alloc, never to Go
// memory. Without cgo the package offers no instruction set, and package core
// falls back on the Go reference.
package csrc

// ISA names an instruction set the kernels may be compiled for.
type ISA int32

const (
	C ISA = iota
	AVX2
	AVX512
	NEON
	AVX512VNNI // AVX512 with faster 8-bit products
	NEONDot    // NEON with faster 8-bit products
	AVX512BF16 // AVX512VNNI with faster bfloat16 products
)

func (i ISA) String() string {
	switch i {
	case C:
		return "c"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	case NEON:
		return "neon"
	case AVX512VNNI:
		return "avx512vnni"
	case NEONDot:
		return "neondot"
	case AVX512BF16:
		return "avx512bf16"
	}
	return "unknown"
}

// Op names an operation; enum un_op of kernels.h says what each does.
type Op int32

const (
	OpConv3x3 Op = iota
	OpWino43
	OpFirst
	OpWgrad3x3
	OpWgrad3x3Reduce
	OpWgradWino43
	OpWgradWino43Reduce
	OpWgradFirst
	OpWgradFirstReduce
	OpPackConv3x3
	OpPackWino43
	OpPackFirst
	OpPackTConv
	OpTConv
	OpTConvDgrad
	OpTConvWgrad
	OpTConvWgradReduce
	OpPool
	OpPoolBwd
	OpBNStats
	OpBNSums
	OpBNBwd
	OpHead
	OpHeadBwd
	OpLossFwd
	OpLossBwd
	OpAdam
	OpSumSq
	OpQWino43
	OpQTConv
	OpPackQ
	OpBWino43
	OpPackBWino43
	OpBTConv
	OpPackBTConv
	Ops
)

// Act mirrors struct un_act.
type Act struct {
	Scale, Shift, Lo *float32
}

// Conv3x3 mirrors struct un_conv3x3.
type Conv3x3 struct {
	Src                                      *float32
	Act                                      Act
	Weight, Bias                             *float32
	Dst, Pool, Stats                         *float32
	Counts                                   *int32
	GateY                                    *float32
	Gate                                     Act
	GateMean                                 *float32
	Sums                                     *float32
	SrcImage, DstImage, PoolImage, GateImage int64
	N, H, W, ICB, OCB, ReLU, Compact         int32
}

// First mirrors struct un_first.
type First struct {
	Src, Weight, Bias      *float32
	Dst, Stats             *float32
	Counts                 *int32
	DstImage               int64
	N, IC, H, W, OCB, ReLU int32
}

// Wgrad3x3 mirrors struct un_wgrad3x3.
type Wgrad3x3 struct {
	Src               *float32
	Act               Act
	DY                *float32
	Partial, DW       *float32
	SrcImage, DYImage int64
	N, H, W, IC, OC   int32
}

// Pack mirrors struct un_pack.
type Pack struct {
	Src, Scale   *float32
	Dst          *float32
	OC, IC, Flip int32
}

// TConv mirrors struct un_tconv.
type TConv struct {
	Src                *float32
	Act                Act
	Weight, Bias       *float32
	Dst                *float32
	SrcImage, DstImage int64
	N, H, W, ICB, OCB  int32
}

// TConvWgrad mirrors struct un_tconv_wgrad.
type TConvWgrad struct {
	Src               *float32
	Act               Act
	DY                *float32
	Partial, DW, DB   *float32
	SrcImage, DYImage int64
	N, H, W, IC, OC   int32
}

// Pool mirrors struct un_pool.
type Pool struct {
	Src                                      *float32
	Act                                      Act
	Dst, DDst, DSrc                          *float32
	SrcImage, DstImage, DSrcImage, DDstImage int64
	N, H, W, CB                              int32
}

// BN mirrors struct un_bn.
type BN struct {
	Y               *float32
	Act             Act
	DA, Mean        *float32
	Sums, Stats     *float32
	Counts          *int32
	CA, CY, C0      *float32
	YImage, DAImage int64
	N, H, W, CB     int32
}

// Head mirrors struct un_head.
type Head struct {
	Src                 *float32
	Act                 Act
	Weight, Bias        *float32
	Logits              *float32
	DLogits             *float32
	DSrc, Partial       *float32
	SrcImage, DSrcImage int64
	N, H, W, CB, K      int32
}

// Loss mirrors struct un_loss.
type Loss struct {
	Z, T, W                 *float32
	P, DZ                   *float32
	Sums                    *float64
	Size, Stride, StrideT   int64
	CBCE, CT, C1, CL1, Beta float32
	N                       int32
}

// Adam mirrors struct un_adam.
type Adam struct {
	P, G, M, V, EMA                                        *float32
	Out                                                    *float64
	Size                                                   int64
	Step, B1, B2, Eps, InvSqrtBC2, Decay, GScale, EMADecay float32
}

// QWino43 mirrors struct un_qwino43.
type QWino43 struct {
	Conv           Conv3x3
	Packed, Offset *int32
	VScale, MScale *float32
}

// QTConv mirrors struct un_qtconv.
type QTConv struct {
	TConv          TConv
	Packed, Offset *int32
	AScale, MScale *float32
}

// QPack mirrors struct un_qpack.
type QPack struct {
	Src         *int8
	Dst, Offset *int32
	N, K        int32
}
