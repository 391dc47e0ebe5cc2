/* run.c - picks a kernel and calls it with denormals off. */
#include "kernels.h"
#include <stddef.h>

extern const struct un_kernel un_table_c[UN_OPS];
double un_peak_c(int64_t rounds, float *sink);
#ifdef __x86_64__
#include <xmmintrin.h>
extern const struct un_kernel un_table_avx2[UN_OPS], un_table_avx512[UN_OPS],
    un_table_avx512vnni[UN_OPS], un_table_avx512bf16[UN_OPS];
double un_peak_avx2(int64_t rounds, float *sink), un_peak_avx512(int64_t rounds, float *sink);
#endif
#ifdef __aarch64__
extern const struct un_kernel un_table_neon[UN_OPS], un_table_neondot[UN_OPS];
double un_peak_neon(int64_t rounds, float *sink);
#endif

const struct un_kernel *un_kernel(enum un_isa isa, enum un_op op)
{
    switch (isa) {
    case UN_C: return &un_table_c[op];
#ifdef __x86_64__
    case UN_AVX2: return &un_table_avx2[op];
    case UN_AVX512BF16:
        if (un_table_avx512bf16[op].run)
            return &un_table_avx512bf16[op];
        /* fall through */
    case UN_AVX512VNNI:
        if (un_table_avx512vnni[op].run)
            return &un_table_avx512vnni[op];
        /* fall through */
    case UN_AVX512: return &un_table_avx512[op];
#endif
#ifdef __aarch64__
    case UN_NEONDOT:
        if (un_table_neondot[op].run)
            return &un_table_neondot[op];
        /* fall through */
    case UN_NEON: return &un_table_neon[op];
#endif
    default: return NULL;
    }
}

/* The mode is per thread and would leak into whatever Go code the scheduler
 * runs on this thread next, so it is put back. */
void un_run(const struct un_kernel *k, const void *args, int32_t t0, int32_t t1, float *scratch)
{
#if defined(__x86_64__)
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* FTZ, DAZ */
    k->run(args, t0, t1, scratch);
    _mm_setcsr(mode);
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | (1u << 24))); /* FZ */
    k->run(args, t0, t1, scratch);
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#else
    k->run(args, t0, t1, scratch);
#endif
}

double un_peak(enum un_isa isa, int64_t rounds)
{
    float sink[2] = { 1e-3f, 1e-3f };
    switch (isa) {
    case UN_C: return un_peak_c(rounds, sink);
#ifdef __x86_64__
    case UN_AVX2: return un_peak_avx2(rounds, sink);
    case UN_AVX512:
    case UN_AVX512VNNI:
    case UN_AVX512BF16: return un_peak_avx512(rounds, sink);
#endif
#ifdef __aarch64__
    case UN_NEON:
    case UN_NEONDOT: return un_peak_neon(rounds, sink);
#endif
    default: return 0;
    }
}
