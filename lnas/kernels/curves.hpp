// The activations of recurrent cells and their slopes, in vectors. One power of e gives tanh and sigmoid.

#pragma once

#include <cmath>

#include "dispatch.hpp"

namespace {

template <class T> struct Bits; // whole numbers as wide as T, the bits of its fraction, and where e^x is 0 to it

template <> struct Bits<float> {
    using Whole = int32_t;
    static constexpr int fraction = 23, degree = 7;
    static constexpr float least = -87, ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
};

template <> struct Bits<double> {
    using Whole = int64_t;
    static constexpr int fraction = 52, degree = 13;
    static constexpr double least = -708, ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;
};

template <class T, int BYTES> struct Curves : Products<T, BYTES> {
    using V = typename Products<T, BYTES>::V;
    using B = Bits<T>;
    using Whole = typename B::Whole;
    typedef Whole W __attribute__((vector_size(BYTES)));

    struct Curve {
        V value, slope;
    };

    struct Mixed {
        V value, slope, curves[4];
    };

    static constexpr T term(int k) { // 1 / k!
        double product = 1;
        for (; k > 1; k--) product *= k;
        return T(1 / product);
    }

    // e^x for x <= 0: e^x = 2^n e^r with a whole n and |r| <= ln(2) / 2, and the series of e^r until it is exact.
    static V power(V x) {
        constexpr T shift = T(3) * T(Whole(1) << (B::fraction - 1)); // adding it rounds to whole numbers
        x = x < B::least ? V{} + B::least : x;
        const V shifted = x * T(1.4426950408889634) + shift, n = shifted - shift;
        const V r = (x - n * B::ln2_high) - n * B::ln2_low;
        V series = V{} + term(B::degree);
#pragma GCC unroll 16
        for (int k = B::degree - 1; k >= 0; k--) series = series * r + term(k);
        return series * (V)(((W)shifted << B::fraction) + (W)(V{} + 1));
    }

    static Curve sigmoid(V x) {
        const V e = power(x < 0 ? x : -x), part = 1 / (1 + e);
        return {x < 0 ? e * part : part, e * part * part};
    }

    // The sum of tanh, ReLU, sigmoid and identity, each times its weight; of the ReLU at 0 the slope is 0. Without SMOOTH,
    // the weights of tanh and sigmoid must be 0.
    template <bool SMOOTH = true> static Mixed mixed(V x, const T *w) {
        const V rectified = x < 0 ? V{} : x, step = x > 0 ? V{} + 1 : V{};
        if constexpr (!SMOOTH) return {w[1] * rectified + w[3] * x, w[1] * step + w[3], {V{}, rectified, V{}, x}};
        const V e = power(x < 0 ? x : -x), square = e * e;
        const V both = 1 / ((1 + e) * (1 + square)); // one division for two
        const V part = (1 + square) * both, half = (1 + e) * both;
        const V size = (1 - square) * half, tanh = x < 0 ? -size : size;
        const V sigmoid = x < 0 ? e * part : part;
        return {w[0] * tanh + w[1] * rectified + w[2] * sigmoid + w[3] * x,
                w[0] * (4 * square * half * half) + w[1] * step + w[2] * (e * part * part) + w[3],
                {tanh, rectified, sigmoid, x}};
    }
};

} // namespace
