// The mixed convolutions of an edge on a CPU; lnas/kernels/convolutions.py says what they compute.
//
// Images lie in memory as (N, H, W, C). A block is normalise(pointwise(depthwise(relu(x)))), where x may
// itself be normalised first, on the fly. What is kept of a block is the pointwise result z and its moments;
// all else is computed again, row by row, in the first-level cache. Images are shared out over threads, and
// moments and sums are combined image by image, so that they do not depend on the number of threads.

#include "backward.hpp"
#include "dispatch.hpp"
#include "forward.hpp"

namespace {

template <class T, int BYTES> struct Kernels : ForwardPass<T, BYTES>, BackwardPass<T, BYTES> {};

} // namespace

extern "C" {

void blocks_forward(int is_double, const Block *blocks, Int count, Int threads) {
    dispatch<Kernels>(is_double, blocks->c, [&](auto kernels, auto) { decltype(kernels)::forward(blocks, count, threads); });
}

void blocks_backward(int is_double, const Block *blocks, Int count, Int threads) {
    dispatch<Kernels>(is_double, blocks->c, [&](auto kernels, auto) { decltype(kernels)::backward(blocks, count, threads); });
}

void mix(int is_double, Int n, Int pixels, Int c, Int count, const void *const *z, const double *const *moments,
         const void *gates, const void *factors, void *out, Int threads) {
    dispatch<Kernels>(is_double, c, [&](auto kernels, auto zero) {
        using T = decltype(zero);
        decltype(kernels)::mix(n, pixels, c, count, (const T *const *)z, moments, (const T *)gates,
                               (const T *)factors, (T *)out, threads);
    });
}

void mix_sums(int is_double, Int n, Int pixels, Int c, Int count, const void *g, const void *const *z,
              const double *const *moments, const void *factors, double *sums, Int threads) {
    dispatch<Kernels>(is_double, c, [&](auto kernels, auto zero) {
        using T = decltype(zero);
        decltype(kernels)::sums(n, pixels, c, count, (const T *)g, (const T *const *)z, moments, (const T *)factors,
                                sums, threads);
    });
}
}
