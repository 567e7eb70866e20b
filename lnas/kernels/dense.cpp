// Dense convolutions, skips and averages of all edges that leave a state; lnas/kernels/dense.py says what they compute.
//
// What is kept of a convolution is its result z and the moments of that; spread tiles are made again in the backward
// pass. Images are cut into pieces whose products stay in the second-level cache. Groups of images are shared out over
// threads; moments and sums are combined piece by piece, so that they do not depend on the number of threads.

#include "dense_backward.hpp"
#include "dense_forward.hpp"
#include "dispatch.hpp"

namespace {

template <class T, int BYTES> struct DenseKernels : DenseForward<T, BYTES>, DenseBackward<T, BYTES> {};

} // namespace

extern "C" {

void dense_convolve(int is_double, const State *state, Int threads) {
    dispatch<DenseKernels>(is_double, state->c, [&](auto kernels, auto) { decltype(kernels)::convolve(*state, threads); });
}

void dense_mix(int is_double, const State *state, Int threads) {
    dispatch<DenseKernels>(is_double, state->c, [&](auto kernels, auto) { decltype(kernels)::mix(*state, threads); });
}

void dense_sums(int is_double, const State *state, Int threads) {
    dispatch<DenseKernels>(is_double, state->c, [&](auto kernels, auto) { decltype(kernels)::sums(*state, threads); });
}

void dense_backward(int is_double, const State *state, Int threads) {
    dispatch<DenseKernels>(is_double, state->c, [&](auto kernels, auto) { decltype(kernels)::backward(*state, threads); });
}
}
