// Blocks as data, how images are shared out over threads, and the input of a block.

#pragma once

#include <algorithm>
#include <vector>

#include "products.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

// A block and all that it reads and writes; the same structure stands in blocks.py.
struct Block {
    Int n, h, w, c, kernel, dilation, stride;
    double eps, gate;
    const void *x;             // input, (N, H, W, C)
    const double *in;          // its moments if it is to be normalised
    const void *dw, *pw;       // (C, 1, k, k), (C, C)
    const void *scale, *shift; // of its normalisation, (C), if it has them
    void *z;                   // pointwise result, (N, H', W', C)
    double *moments;           // what follows from z, (5, C); see Moments
    const void *g;             // gradient behind the block
    const void *factors;       // factors of the images, (N)
    const double *sums;        // of g and g * normalise(z), (2, C)
    void *grad_x;              // gradient of the input, if it is asked for
    Int add;                   // whether it is added to what is there
    double *in_sums;           // sums of it and of it * normalise(x), (2, C)
    void *grad_dw, *grad_pw;   // gradients of the weights, if they are asked for

    Int pad() const { return dilation * (kernel - 1) / 2; }
    Int out_h() const { return (h + stride - 1) / stride; }
    Int out_w() const { return (w + stride - 1) / stride; }
    Int image() const { return h * w * c; }
    Int out_image() const { return out_h() * out_w() * c; }
    template <class T> static T *at(const void *images, Int place) { return static_cast<T *>(const_cast<void *>(images)) + place; }
};

// Of each channel mean, 1 / standard deviation and biased variance, and the slope and the offset that normalise it.
struct Moments {
    const double *mean, *rstd, *variance, *slope, *offset;
    Moments(const double *p, Int c) : mean(p), rstd(p + c), variance(p + 2 * c), slope(p + 3 * c), offset(p + 4 * c) {}
};

template <class Body> void over_images(Int n, Int threads, Body body) {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
    {
        Int of = omp_get_num_threads(), me = omp_get_thread_num();
        body(me, me * n / of, (me + 1) * n / of);
    }
#else
    body(0, 0, n);
#endif
}

// Sums over images in their order, whichever thread made them.
inline void total(const std::vector<double> &parts, Int n, Int size, double *result) {
    std::fill(result, result + size, 0.0);
    for (Int image = 0; image < n; image++)
        for (Int i = 0; i < size; i++) result[i] += parts[image * size + i];
}

template <class T, int BYTES> struct Images : Products<T, BYTES> {
    using P = Products<T, BYTES>;
    using V = typename P::V;
    static constexpr Int L = P::L;
    using P::load, P::store;
    using P::rectify;

    // The input of blocks, normalised where asked for, rectified, with a border of zeros.
    struct Input {
        std::vector<T> scale, shift, padded;
        Int c, w, h, border = 0, line = 0;

        explicit Input(const Block &k) : c(k.c), w(k.w), h(k.h) {
            if (!k.in) return;
            Moments m(k.in, c);
            for (Int i = 0; i < c; i++) {
                scale.push_back(T(m.slope[i]));
                shift.push_back(T(m.offset[i]));
            }
        }

        void widen(Int pad) {
            border = std::max(border, pad);
            line = (w + 2 * border) * c;
        }

        V value(const T *x, Int cv) const {
            const V v = load(x);
            return scale.empty() ? v : v * load(&scale[cv]) + load(&shift[cv]);
        }

        void fill(const T *x) {
            padded.resize((h + 2 * border) * line, T(0)); // the border is never written
            for (Int y = 0; y < h; y++)
                for (Int i = 0; i < w; i++)
                    for (Int cv = 0; cv < c; cv += L)
                        store(&padded[(y + border) * line + (i + border) * c + cv],
                              rectify(value(x + (y * w + i) * c + cv, cv)));
        }

        // The first tap of the first output of row y of a block.
        const T *row(const Block &k, Int y) const {
            const Int away = border - k.pad();
            return &padded[(y * k.stride + away) * line + away * c];
        }
    };

    // One input for all blocks that read the same images.
    struct Inputs {
        std::vector<Input> inputs;
        std::vector<Int> of;

        Inputs(const Block *blocks, Int count) {
            for (Int k = 0; k < count; k++) {
                Int same = 0;
                while (same < k && (blocks[same].x != blocks[k].x || blocks[same].in != blocks[k].in)) same++;
                of.push_back(same < k ? of[same] : Int(inputs.size()));
                if (same == k) inputs.emplace_back(blocks[k]);
                inputs[of[k]].widen(blocks[k].pad());
            }
        }

        Input &operator[](Int k) { return inputs[of[k]]; }

        void fill(const Block *blocks, Int count, Int image) {
            for (Int k = 0; k < count; k++)
                if (k == 0 || of[k] > *std::max_element(of.begin(), of.begin() + k))
                    (*this)[k].fill(Block::at<T>(blocks[k].x, image * blocks[k].image()));
        }
    };

    static std::vector<T> taps(const T *w, Int c, Int k, bool flipped) { // (C, k, k) as (k, k, C)
        std::vector<T> result(c * k * k);
        for (Int i = 0; i < c; i++)
            for (Int t = 0; t < k * k; t++) result[(flipped ? k * k - 1 - t : t) * c + i] = w[i * k * k + t];
        return result;
    }

    static std::vector<T> transposed(const T *w, Int c) {
        std::vector<T> result(c * c);
        for (Int o = 0; o < c; o++)
            for (Int i = 0; i < c; i++) result[i * c + o] = w[o * c + i];
        return result;
    }
};

} // namespace
