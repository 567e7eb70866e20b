// Products of a sequence with a matrix over the units that dropout leaves each stream; lnas/kernels/kept.py says what.
//
// Forwards and for the matrix's gradient panels of columns are shared out over threads, for the sequence's gradient
// streams are: each number is the sum of its terms in their order, whatever the number of threads.

#include <vector>

#include "kept.hpp"
#include "room.hpp"

namespace {

// A product and its gradients; the same structure stands in kept.py.
struct Product {
    Int steps, streams, units, columns, apart; // how far apart the rows of the matrix lie
    const Int *first, *kept;                   // where the units of each stream begin, and their numbers
    const void *features, *matrix;             // (steps, streams, units), (units, columns)
    void *out;                                 // the product, (steps, streams, columns), unless its gradient is given:
    const void *grad;
    void *of_features, *of_matrix; // of which come these, if they are asked for; the features' all 0 at first
};

template <class T, int SIZE> struct Sequence : Kept<T, SIZE> {
    using K = Kept<T, SIZE>;
    static constexpr Int WIDTH = K::WIDTH;

    const Product &all;
    const Int panels, apart, wide; // how many panels of columns; numbers of one; steps in whole vectors
    Room<T> matrix, features;      // panels of (units, WIDTH); of each stream (steps, its units)

    explicit Sequence(const Product &k)
        : all(k), panels((k.columns + WIDTH - 1) / WIDTH), apart(k.units * WIDTH), wide(K::filled(k.steps)),
          matrix(room<T>(panels * apart)), features(room<T>(k.first[k.streams] * k.steps)) {}

    const Int *units(Int s) const { return all.kept + all.first[s]; }
    Int count(Int s) const { return all.first[s + 1] - all.first[s]; }
    T *features_of(Int s) { return &features[all.first[s] * all.steps]; }
    Int columns_of(Int panel) const { return std::min(WIDTH, all.columns - panel * WIDTH); }
    Int place(Int s, Int panel) const { return s * all.columns + panel * WIDTH; } // in sequences of columns

    static void copy(const T *from, Int from_apart, Int rows, Int columns, T *to, Int to_apart) {
        for (Int i = 0; i < rows; i++) std::copy_n(from + i * from_apart, columns, to + i * to_apart);
    }

    void lay_out(Int p) {
        T *panel = &matrix[p * apart];
        if (columns_of(p) < WIDTH) std::fill_n(panel, apart, T(0));
        copy(static_cast<const T *>(all.matrix) + p * WIDTH, all.apart, all.units, columns_of(p), panel, WIDTH);
    }

    void gather(Int s) {
        const T *from = static_cast<const T *>(all.features) + s * all.units;
        K::gather_units(from, all.streams * all.units, all.steps, units(s), count(s), features_of(s), count(s));
    }

    void forward(Int threads) {
#pragma omp parallel num_threads(threads)
        {
            std::vector<T> panel(apart), out(all.steps * WIDTH);
#pragma omp for
            for (Int s = 0; s < all.streams; s++) gather(s);
#pragma omp for
            for (Int p = 0; p < panels; p++) {
                lay_out(p);
                for (Int s = 0; s < all.streams; s++) {
                    K::gather_rows(&matrix[p * apart], units(s), count(s), panel.data());
                    K::times_panel(features_of(s), all.steps, count(s), panel.data(), out.data());
                    T *to = static_cast<T *>(all.out) + place(s, p);
                    copy(out.data(), WIDTH, all.steps, columns_of(p), to, all.streams * all.columns);
                }
            }
        }
    }

    void backward(Int threads) {
#pragma omp parallel num_threads(threads)
        {
            std::vector<T> sums(apart), panel(all.steps * WIDTH), turned(panels * WIDTH * wide), found(all.units * wide);
#pragma omp for
            for (Int s = 0; s < all.streams; s++) gather(s);
            if (all.of_matrix)
#pragma omp for
                for (Int p = 0; p < panels; p++) learn_matrix(p, sums, panel.data());
            if (all.of_features) {
#pragma omp for
                for (Int p = 0; p < panels; p++) lay_out(p);
#pragma omp for
                for (Int s = 0; s < all.streams; s++) learn_features(s, turned.data(), found.data());
            }
        }
    }

    void learn_matrix(Int p, std::vector<T> &sums, T *panel) {
        std::fill(sums.begin(), sums.end(), T(0));
        for (Int s = 0; s < all.streams; s++) {
            const T *grad = static_cast<const T *>(all.grad) + place(s, p);
            copy(grad, all.streams * all.columns, all.steps, columns_of(p), panel, WIDTH);
            K::add_products(features_of(s), all.steps, count(s), panel, sums.data(), units(s));
        }
        copy(sums.data(), WIDTH, all.units, columns_of(p), static_cast<T *>(all.of_matrix) + p * WIDTH, all.columns);
    }

    void learn_features(Int s, T *turned, T *found) {
        for (Int t = 0; t < all.steps; t++) {
            const T *grad = static_cast<const T *>(all.grad) + place(s, 0) + t * all.streams * all.columns;
            for (Int c = 0; c < all.columns; c++) turned[c * wide + t] = grad[c];
        }
        K::times_turned(matrix.get(), panels, apart, units(s), count(s), turned, wide, found);
        T *to = static_cast<T *>(all.of_features) + s * all.units;
        for (Int t = 0; t < all.steps; t++)
            for (Int k = 0; k < count(s); k++) to[t * all.streams * all.units + units(s)[k]] = found[k * wide + t];
    }
};

template <class T> void run(const Product &product, Int threads) {
    Sequence<T, WIDEST> sequence(product);
    product.grad ? sequence.backward(threads) : sequence.forward(threads);
}

} // namespace

extern "C" {

void kept_product(int is_double, const Product *product, Int threads) {
    is_double ? run<double>(*product, threads) : run<float>(*product, threads);
}
}
