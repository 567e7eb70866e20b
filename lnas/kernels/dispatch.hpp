// Which kernels a call means: kind of number, and the widest vectors that divide the channels.

#pragma once

#include "products.hpp"

namespace {

#ifdef __AVX512F__
constexpr int WIDEST = 64;
#else
constexpr int WIDEST = 32;
#endif

template <template <class, int> class Kernels, class T, class Body> void with_vectors(Int channels, Body body) {
    const Int bytes = channels * Int(sizeof(T));
    if (WIDEST == 64 && bytes % 64 == 0)
        body(Kernels<T, WIDEST>(), T());
    else if (bytes % 32 == 0)
        body(Kernels<T, 32>(), T());
    else
        body(Kernels<T, 16>(), T());
}

// Calls body(kernels, a number of their kind).
template <template <class, int> class Kernels, class Body> void dispatch(int is_double, Int channels, Body body) {
    if (is_double)
        with_vectors<Kernels, double>(channels, body);
    else
        with_vectors<Kernels, float>(channels, body);
}

} // namespace
