// Times one convolution of oneDNN (libdnnl 2 or 3) on one thread:
//
//   onednn KIND N IC OC H W COUNT     KIND: conv3x3, tconv, each with _fwd, _dgrad or _wgrad
//
// and prints the median CPU time of a call in nanoseconds. Layouts are oneDNN's
// choice; H and W are of the small side of a transposed convolution.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <unordered_map>
#include <vector>
#include "oneapi/dnnl/dnnl.hpp"
using namespace dnnl;
using dims = memory::dims;

static double now()
{
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e9 * t.tv_sec + t.tv_nsec;
}

// What differs between the two operations and the versions of the interface.
#if DNNL_VERSION_MAJOR >= 3
#define DESC(OP, ...) typename OP::primitive_desc(e, __VA_ARGS__)
#define DESC_HINT(OP, HINT, ...) typename OP::primitive_desc(e, __VA_ARGS__, HINT)
#else
#define DESC(OP, ...) typename OP::primitive_desc(typename OP::desc(__VA_ARGS__), e)
#define DESC_HINT(OP, HINT, ...) typename OP::primitive_desc(typename OP::desc(__VA_ARGS__), e, HINT)
#endif

template <typename Fwd, typename Dgrad, typename Wgrad>
static double measure(const engine &e, const std::string &pass, algorithm alg, dims x, dims w, dims y,
                      dims stride, dims pad, int count)
{
    auto any = [](dims d) { return memory::desc(d, memory::data_type::f32, memory::format_tag::any); };
    const bool forward = pass == "fwd";
    auto hint = DESC(Fwd, forward ? prop_kind::forward_inference : prop_kind::forward_training, alg,
                     any(x), any(w), any(y), stride, pad, pad);
    stream s(e);
    primitive p;
    std::unordered_map<int, memory> args;
    auto zeros = [&](const memory::desc &d) {
        memory m(d, e);
        std::fill_n(static_cast<float *>(m.get_data_handle()), d.get_size() / 4, 0.5f);
        return m;
    };
    if (forward) {
        p = Fwd(hint);
        args = { { DNNL_ARG_SRC, zeros(hint.src_desc()) }, { DNNL_ARG_WEIGHTS, zeros(hint.weights_desc()) },
                 { DNNL_ARG_DST, zeros(hint.dst_desc()) } };
    } else if (pass == "dgrad") {
        auto d = DESC_HINT(Dgrad, hint, alg, any(x), any(w), any(y), stride, pad, pad);
        p = Dgrad(d);
        args = { { DNNL_ARG_DIFF_SRC, zeros(d.diff_src_desc()) }, { DNNL_ARG_WEIGHTS, zeros(d.weights_desc()) },
                 { DNNL_ARG_DIFF_DST, zeros(d.diff_dst_desc()) } };
    } else {
        auto d = DESC_HINT(Wgrad, hint, alg, any(x), any(w), any(y), stride, pad, pad);
        p = Wgrad(d);
        args = { { DNNL_ARG_SRC, zeros(d.src_desc()) }, { DNNL_ARG_DIFF_WEIGHTS, zeros(d.diff_weights_desc()) },
                 { DNNL_ARG_DIFF_DST, zeros(d.diff_dst_desc()) } };
    }
    std::vector<double> times;
    for (int i = 0; i < count + 1; i++) {
        int runs = 0;
        const double start = now();
        do {
            p.execute(s, args);
            s.wait();
            runs++;
        } while (now() - start < 1e7);
        if (i > 0) // the first call warms up
            times.push_back((now() - start) / runs);
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

int main(int argc, char **argv)
{
    if (argc != 8)
        return 2;
    const std::string kind = argv[1], pass = kind.substr(kind.rfind('_') + 1);
    const int n = atoi(argv[2]), ic = atoi(argv[3]), oc = atoi(argv[4]), h = atoi(argv[5]), w = atoi(argv[6]);
    const engine e(engine::kind::cpu, 0);
    double t;
    if (kind.rfind("tconv", 0) == 0)
        t = measure<deconvolution_forward, deconvolution_backward_data, deconvolution_backward_weights>(
            e, pass, algorithm::deconvolution_direct, { n, ic, h, w }, { oc, ic, 2, 2 }, { n, oc, 2 * h, 2 * w },
            { 2, 2 }, { 0, 0 }, atoi(argv[7]));
    else
        t = measure<convolution_forward, convolution_backward_data, convolution_backward_weights>(
            e, pass, algorithm::convolution_auto, { n, ic, h, w }, { oc, ic, 3, 3 }, { n, oc, h, w },
            { 1, 1 }, { 1, 1 }, atoi(argv[7]));
    printf("%.0f\n", t);
}
