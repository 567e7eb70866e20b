// The loss of a large vocabulary over the units that dropout leaves each stream; lnas/kernels/words.py says what.
//
// One stream at a time: its scores, (steps, words), stay in the cache from the product that makes them to those that
// read their gradients. Words are shared out over threads in chunks, whose sums are added up in their order, so that
// they do not depend on the number of threads.

#include <algorithm>
#include <vector>

#include "curves.hpp"

namespace {

// Scores and all that they are made of; the same structure stands in words.py.
struct Words {
    Int steps, streams, units, words; // the words filled up to whole chunks of vectors
    const Int *first, *kept;          // where the units of each stream begin, and their numbers; the bias's at the end
    const Int *targets;               // (steps, streams)
    const void *features;             // (steps, streams, units)
    const void *matrix;               // (units + 1, words), the last row the bias
    void *of_features, *of_matrix;    // gradients of the summed loss, if they are asked for
    double *losses;                   // of each step and stream, (steps, streams)
};

constexpr Int CHUNK = 512; // words whose rows of the matrix fit into the second-level cache

template <class T, int BYTES> struct Scores : Curves<T, BYTES> {
    using C = Curves<T, BYTES>;
    using V = typename C::V;
    static constexpr Int L = C::L;
    static constexpr Int AHEAD = 2 * L; // rows lie far apart: what is next in each of them does not come by itself
    using C::load, C::store;

    const Words &all;
    const Int chunks;
    std::vector<T> scores, features, partial, scales; // of one stream

    explicit Scores(const Words &k) : all(k), chunks((k.words + CHUNK - 1) / CHUNK) {
        scores.resize(k.steps * k.words);
        features.resize(k.steps * (k.units + 1));
        partial.resize(k.of_features ? chunks * k.steps * k.units : 0);
        scales.resize(k.steps);
    }

    // The sum of a vector's numbers, half by half.
    template <int SIZE> static T total(typename Products<T, SIZE>::V v) {
        if constexpr (SIZE == 2 * sizeof(T)) {
            return v[0] + v[1];
        } else {
            const auto *half = reinterpret_cast<const typename Products<T, SIZE / 2>::V *>(&v);
            return total<SIZE / 2>(half[0] + half[1]);
        }
    }

    // One stream: its kept units, and chunks of words.
    struct Stream {
        Int number, count; // of the stream, of its units with the bias
        const Int *units;
    };
    struct Span {
        Int index, start, size;
    };

    Span span(Int chunk) const { return {chunk, chunk * CHUNK, std::min(CHUNK, all.words - chunk * CHUNK)}; }
    const T *row(const Stream &s, Int unit) const { return static_cast<const T *>(all.matrix) + s.units[unit] * all.words; }

    void run(Int threads) {
#pragma omp parallel num_threads(threads)
        for (Int number = 0; number < all.streams; number++) {
            const Stream s{number, all.first[number + 1] - all.first[number], all.kept + all.first[number]};
#pragma omp for
            for (Int t = 0; t < all.steps; t++) gather(s, t);
#pragma omp for
            for (Int c = 0; c < chunks; c++) score(s, span(c));
#pragma omp for
            for (Int t = 0; t < all.steps; t++) normalise(s, t);
            if (!all.of_features && !all.of_matrix) continue;
#pragma omp for
            for (Int c = 0; c < chunks; c++) learn(s, span(c));
            if (!all.of_features) continue;
#pragma omp for
            for (Int t = 0; t < all.steps; t++) scatter(s, t);
        }
    }

    const T *given(const Stream &s, Int t) const {
        return static_cast<const T *>(all.features) + (t * all.streams + s.number) * all.units;
    }

    void gather(const Stream &s, Int t) {
        T *to = &features[t * s.count];
        for (Int k = 0; k + 1 < s.count; k++) to[k] = given(s, t)[s.units[k]];
        to[s.count - 1] = 1;
    }

    // scores[t, w] = sum_k features[t, k] * matrix[k, w]
    void score(const Stream &s, Span words) {
        C::tiles(all.steps, words.size, [&](Int t, Int w, auto rows, auto columns) INLINE {
            constexpr int R = decltype(rows)::value, K = decltype(columns)::value;
            V acc[R][K] = {};
            const T *own = features.data() + t * s.count, *from = static_cast<const T *>(all.matrix) + words.start + w;
            for (Int k = 0; k < s.count; k++) {
                const T *line = from + s.units[k] * all.words;
                if (t == 0) __builtin_prefetch(line + AHEAD);
                V wv[K];
                for (int b = 0; b < K; b++) wv[b] = load(line + b * L);
                for (int a = 0; a < R; a++)
                    for (int b = 0; b < K; b++) acc[a][b] += own[a * s.count + k] * wv[b];
            }
            for (int a = 0; a < R; a++)
                for (int b = 0; b < K; b++) store(&scores[(t + a) * all.words + words.start + w + b * L], acc[a][b]);
        });
    }

    // Turns the scores of a step to powers of e, and finds what makes them probabilities.
    void normalise(const Stream &s, Int t) {
        T *own = &scores[t * all.words];
        V largest = load(own);
        for (Int w = L; w < all.words; w += L) {
            const V v = load(own + w);
            largest = largest < v ? v : largest;
        }
        T most = largest[0];
        for (Int i = 1; i < L; i++) most = std::max(most, T(largest[i]));
        const double right = double(own[all.targets[t * all.streams + s.number]]) - double(most);
        double total = 0;
        for (Int start = 0; start < all.words; start += CHUNK) {
            V sum{};
            for (Int w = start; w < std::min(start + CHUNK, all.words); w += L) {
                const V power = C::power(load(own + w) - most);
                store(own + w, power);
                sum += power;
            }
            for (Int i = 0; i < L; i++) total += sum[i];
        }
        scales[t] = T(1 / total);
        all.losses[t * all.streams + s.number] = std::log(total) - right;
    }

    // Makes gradients of the scores of some words, and of them those of features and matrix.
    void learn(const Stream &s, Span words) {
        for (Int t = 0; t < all.steps; t++) {
            T *own = &scores[t * all.words];
            for (Int w = words.start; w < words.start + words.size; w += L) store(own + w, load(own + w) * scales[t]);
            const Int right = all.targets[t * all.streams + s.number];
            if (words.start <= right && right < words.start + words.size) own[right] -= 1;
        }
        if (all.of_matrix) learn_matrix(s, words);
        if (all.of_features) learn_features(s, words);
    }

    // of_matrix[k, w] += sum_t features[t, k] * scores[t, w]
    void learn_matrix(const Stream &s, Span words) {
        T *matrix = static_cast<T *>(all.of_matrix) + words.start;
        C::tiles(s.count, words.size, [&](Int k, Int w, auto rows, auto columns) INLINE {
            constexpr int R = decltype(rows)::value, K = decltype(columns)::value;
            V acc[R][K];
            for (int a = 0; a < R; a++) {
                const T *from = matrix + s.units[k + a] * all.words + w;
                __builtin_prefetch(from + AHEAD, 1);
                for (int b = 0; b < K; b++) acc[a][b] = load(from + b * L);
            }
            for (Int t = 0; t < all.steps; t++) {
                V wv[K];
                for (int b = 0; b < K; b++) wv[b] = load(&scores[t * all.words + words.start + w + b * L]);
                for (int a = 0; a < R; a++)
                    for (int b = 0; b < K; b++) acc[a][b] += features[t * s.count + k + a] * wv[b];
            }
            for (int a = 0; a < R; a++)
                for (int b = 0; b < K; b++) store(matrix + s.units[k + a] * all.words + w + b * L, acc[a][b]);
        });
    }

    // partial[t, k] = sum_w scores[t, w] * matrix[k, w]
    void learn_features(const Stream &s, Span words) {
        const Int units = s.count - 1;
        T *out = &partial[words.index * all.steps * all.units];
        auto block = [&](Int t, Int k, auto rows, auto columns) INLINE {
            constexpr int R = decltype(rows)::value, K = decltype(columns)::value;
            V acc[R][K] = {};
            for (Int w = words.start; w < words.start + words.size; w += L) {
                V wv[K];
                for (int b = 0; b < K; b++) wv[b] = load(row(s, k + b) + w);
                for (int a = 0; a < R; a++)
                    for (int b = 0; b < K; b++) acc[a][b] += load(&scores[(t + a) * all.words + w]) * wv[b];
            }
            for (int a = 0; a < R; a++)
                for (int b = 0; b < K; b++) out[(t + a) * units + k + b] = total<BYTES>(acc[a][b]);
        };
        auto along = [&](Int t, auto rows) INLINE {
            Int k = 0;
            for (; k + 3 <= units; k += 3) block(t, k, rows, std::integral_constant<int, 3>());
            for (; k < units; k++) block(t, k, rows, std::integral_constant<int, 1>());
        };
        Int t = 0;
        for (; t + 4 <= all.steps; t += 4) along(t, std::integral_constant<int, 4>());
        for (; t < all.steps; t++) along(t, std::integral_constant<int, 1>());
    }

    void scatter(const Stream &s, Int t) {
        T *to = static_cast<T *>(all.of_features) + (t * all.streams + s.number) * all.units;
        for (Int k = 0; k + 1 < s.count; k++) {
            T sum = 0;
            for (Int c = 0; c < chunks; c++) sum += partial[c * all.steps * all.units + t * (s.count - 1) + k];
            to[s.units[k]] = sum;
        }
    }
};

template <class T> void run(const Words &words, Int threads) { Scores<T, WIDEST>(words).run(threads); }

} // namespace

extern "C" {

void word_losses(int is_double, const Words *words, Int threads) {
    is_double ? run<double>(*words, threads) : run<float>(*words, threads);
}
}
