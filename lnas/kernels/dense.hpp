// The edges that leave a state as data, how its images are cut into pieces, and what passes share.

#pragma once

#include <algorithm>
#include <vector>

#include "blocks.hpp"
#include "winograd.hpp"

namespace {

// One dense convolution with its normalisation; the same structure stands in dense.py.
struct Dense {
    Int kernel; // 1 or 3
    double eps, gate;
    const void *weight;  // (C, C, k, k)
    void *z;             // its result, (N, H, W, C)
    double *moments;     // mean, 1 / standard deviation and biased variance of that, (3, C)
    const void *factors; // factors of the images, (N), or none
    double *sums;        // of factor * g and factor * g * normalise(z), (2, C)
    void *grad_weight;   // if it is asked for
};

// What is computed of one edge; the same structure stands in dense.py.
struct Edge {
    Int first, count;  // its convolutions
    Int skips, pools;  // whether the state itself and its averages are among its terms
    double skip, pool; // their gates
    const void *skip_factors, *pool_factors; // (N), or none
    const void *before; // what else is summed up in the node, or none
    void *out;          // the sum, (N, H, W, C)
    const void *grad;   // its gradient
    double *products;   // sums of grad * state and grad * average, (2), if they are asked for
};

// A state and the edges that leave it; the same structure stands in dense.py.
struct State {
    Int n, h, w, c;
    const void *x; // (N, H, W, C)
    void *grad_x;  // if it is asked for
    const Edge *edges;
    Int edge_count;
    const Dense *dense;
    Int dense_count;

    Int image() const { return h * w * c; }
    template <class T> const T *rows(const void *images, Int n, Int y) const {
        return static_cast<const T *>(images) + n * image() + y * w * c;
    }
};

inline double factor(const void *factors, int is_double, Int n) {
    if (!factors) return 1.0;
    return is_double ? static_cast<const double *>(factors)[n] : static_cast<const float *>(factors)[n];
}

// Rows of tiles of some images, what is worked on at a time.
struct Piece {
    Int image, images, row, rows, index;
};

// Cuts images into pieces that fit the second-level cache, always the same ones, whatever the number of threads.
struct Cut {
    Int n, h, w, c, across, down, rows, images;

    Cut(const State &s)
        : n(s.n), h(s.h), w(s.w), c(s.c), across((w + 1) / 2), down((h + 1) / 2) {
        const Int tiles = std::max<Int>(16, 3072 / c);
        rows = std::min(down, std::max<Int>(1, tiles / across));
        images = rows < down ? 1 : std::min(n, std::max<Int>(1, tiles / (across * down)));
    }

    Int line() const { return (2 * across + 2) * c; }       // of an image with a border
    Int groups() const { return (n + images - 1) / images; } // of images
    Int pieces() const { return (down + rows - 1) / rows; }  // of a group
    Int tiles() const { return images * rows * across; }
    Int pixels(const Piece &p) const { return p.images * w * (std::min(h, 2 * (p.row + p.rows)) - 2 * p.row); }

    // Elements between places of tiles; not a power of two, which would put all places in one set of the cache.
    template <class T> Int apart() const { return tiles() * c + 64 / Int(sizeof(T)); }

    template <class Body> void over_pieces(Int group, Body body) const {
        const Int image = group * images;
        for (Int row = 0, index = group * pieces(); row < down; row += rows, index++)
            body(Piece{image, std::min(images, n - image), row, std::min(rows, down - row), index});
    }

    // Calls body(tile, image, row of tiles, tile of the row) for all tiles of a piece.
    template <class Body> INLINE inline void over_tiles(const Piece &p, Body body) const {
        for (Int m = 0, tile = 0; m < p.images; m++)
            for (Int r = 0; r < p.rows; r++)
                for (Int q = 0; q < across; q++, tile++) body(tile, m, r, q);
    }
};

template <class T, int BYTES> struct Tiled : Winograd<T, BYTES> {
    using W = Winograd<T, BYTES>;
    using V = typename W::V;
    static constexpr Int L = W::L;
    static constexpr int IS_DOUBLE = sizeof(T) == 8;
    using W::load, W::store, W::rectify;

    // The rectified state of a piece, spread for products with kernels.
    struct Spread {
        std::vector<T> padded, v;

        explicit Spread(const Cut &cut)
            : padded(cut.images * (2 * cut.rows + 2) * cut.line(), T(0)), v(W::PLACES * cut.apart<T>()) {}

        void fill(const State &s, const Cut &cut, const Piece &p) {
            const Int c = s.c, line = cut.line(), height = 2 * p.rows + 2;
            for (Int m = 0; m < p.images; m++)
                for (Int j = 0; j < height; j++) {
                    const Int y = 2 * p.row - 1 + j;
                    T *to = &padded[(m * height + j) * line];
                    if (y < 0 || y >= s.h) {
                        std::fill(to, to + line, T(0));
                        continue;
                    }
                    const T *from = s.rows<T>(s.x, p.image + m, y); // the columns of the border are never written
                    for (Int i = 0; i < s.w * c; i += L) store(to + c + i, rectify(load(from + i)));
                }
            cut.over_tiles(p, [&](Int tile, Int m, Int r, Int q) INLINE {
                const T *from = &padded[(m * height + 2 * r) * line + 2 * q * c];
                for (Int cv = 0; cv < c; cv += L) W::spread(from + cv, line, c, &v[tile * c + cv], cut.apart<T>());
            });
        }
    };

    // Row y of the sums over 3x3 windows, as far as they are inside; `sums` holds w + 2 pixels.
    static void box(const T *image, const State &s, Int y, T *sums, T *out) {
        const Int c = s.c, width = s.w * c;
        std::fill(sums, sums + c, T(0)), std::fill(sums + c + width, sums + 2 * c + width, T(0));
        for (Int i = 0; i < width; i += L) {
            V sum = load(image + y * width + i);
            if (y > 0) sum += load(image + (y - 1) * width + i);
            if (y + 1 < s.h) sum += load(image + (y + 1) * width + i);
            store(sums + c + i, sum);
        }
        for (Int i = 0; i < width; i += L) store(out + i, load(sums + i) + load(sums + c + i) + load(sums + 2 * c + i));
    }

    // 1 / pixels of the window around a pixel.
    static T share(const State &s, Int y, Int x) {
        static constexpr T shares[10] = {0, 1, T(1) / 2, T(1) / 3, T(1) / 4, 0, T(1) / 6, 0, 0, T(1) / 9};
        return shares[(1 + (y > 0) + (y + 1 < s.h)) * (1 + (x > 0) + (x + 1 < s.w))];
    }

    static void average(const State &s, Int n, Int y, T *sums, T *out) {
        box(s.rows<T>(s.x, n, 0), s, y, sums, out);
        for (Int x = 0; x < s.w; x++)
            for (Int cv = 0; cv < s.c; cv += L) store(out + x * s.c + cv, load(out + x * s.c + cv) * share(s, y, x));
    }

    static bool pools(const State &s) {
        return std::any_of(s.edges, s.edges + s.edge_count, [](const Edge &e) { return e.pools; });
    }
};

} // namespace
