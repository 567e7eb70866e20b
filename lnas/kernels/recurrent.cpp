// What is done number by number on the edges of a recurrent cell; lnas/kernels/recurrent.py says what.
//
// Of an edge nothing is kept but the two products that it was made of: its gate, its curves and their slopes are found
// again backward, which costs no more than to read them from memory. Streams are shared out over threads; the sums for
// the gates are kept stream by stream, so that they do not depend on the number of threads.

#include <cstring>

#include "curves.hpp"

namespace {

// A state and the edges that leave it; the same structure stands in recurrent.py.
struct Leaving {
    Int streams, edges, units;
    Int by_node, by_stream;    // how far apart the sums of nodes and of streams lie
    const Int *targets;        // the node of each edge
    const void *weights;       // of each edge's tanh, ReLU, sigmoid and identity, and of the state: (edges, 5)
    const void *state;         // (streams, units)
    void *pairs;               // gate, candidate: (streams, 2, edges, units); backward, their gradients
    void *sums;                // of each node; backward, their gradients
    void *of_state;            // gradient of the state, to be added to
    double *products;          // sums of gradient times curve, and times state, to be added to: (streams, edges, 5)
};

template <class T, int BYTES> struct Edges : Curves<T, BYTES> {
    using C = Curves<T, BYTES>;
    using V = typename C::V;
    static constexpr Int L = C::L;

    // Calls body(first unit, load, store) for vectors that cover all units; the last may be filled up with zeros.
    template <class Body> INLINE static inline void over_units(Int units, const Body &body) {
        Int u = 0;
        for (; u + L <= units; u += L) body(u, [](const T *p) INLINE { return C::load(p); }, [](T *p, V v) INLINE { C::store(p, v); });
        if (u == units) return;
        const size_t rest = (units - u) * sizeof(T);
        body(u,
             [rest](const T *p) INLINE {
                 V v{};
                 std::memcpy(&v, p, rest);
                 return v;
             },
             [rest](T *p, V v) INLINE { std::memcpy(p, &v, rest); });
    }

    struct Row {
        T *gate, *candidate, *sum, *of_state;
        const T *state, *weights;
        double *products;

        Row(const Leaving &k, Int stream, Int edge)
            : gate(static_cast<T *>(k.pairs) + (stream * 2 * k.edges + edge) * k.units),
              candidate(gate + k.edges * k.units),
              sum(static_cast<T *>(k.sums) + k.targets[edge] * k.by_node + stream * k.by_stream),
              of_state(static_cast<T *>(k.of_state) + stream * k.units),
              state(static_cast<const T *>(k.state) + stream * k.units),
              weights(static_cast<const T *>(k.weights) + edge * 5),
              products(k.products ? k.products + (stream * k.edges + edge) * 5 : nullptr) {}
    };

    static void read(const Row &row, Int units) {
        const T *w = row.weights;
        over_units(units, [&](Int u, auto load, auto store) INLINE {
            const V state = load(row.state + u), gate = C::sigmoid(load(row.gate + u)).value;
            const V bracket = C::mixed(load(row.candidate + u), w).value - w[4] * state;
            store(row.sum + u, load(row.sum + u) + w[4] * state + gate * bracket);
        });
    }

    template <bool GATES> static void learn(const Row &row, Int units) {
        const T *w = row.weights;
        V products[5] = {};
        over_units(units, [&](Int u, auto load, auto store) INLINE {
            const V state = load(row.state + u), of_sum = load(row.sum + u);
            const auto gate = C::sigmoid(load(row.gate + u));
            const auto mixed = C::mixed(load(row.candidate + u), w);
            const V through = of_sum * gate.value, around = of_sum - through;
            store(row.of_state + u, load(row.of_state + u) + w[4] * around);
            store(row.gate + u, of_sum * gate.slope * (mixed.value - w[4] * state));
            store(row.candidate + u, through * mixed.slope);
            if constexpr (GATES) {
                for (int k = 0; k < 4; k++) products[k] += through * mixed.curves[k];
                products[4] += around * state;
            }
        });
        if constexpr (GATES)
            for (int k = 0; k < 5; k++)
                for (Int i = 0; i < L; i++) row.products[k] += products[k][i];
    }
};

template <class Body> void over_edges(const Leaving &k, Int threads, Body body) {
#pragma omp parallel for num_threads(threads)
    for (Int stream = 0; stream < k.streams; stream++)
        for (Int edge = 0; edge < k.edges; edge++) body(stream, edge);
}

template <class T> void read(const Leaving &k, Int threads) {
    using E = Edges<T, WIDEST>;
    over_edges(k, threads, [&](Int stream, Int edge) { E::read(typename E::Row(k, stream, edge), k.units); });
}

template <class T> void learn(const Leaving &k, Int threads) {
    using E = Edges<T, WIDEST>;
    over_edges(k, threads, [&](Int stream, Int edge) {
        const typename E::Row row(k, stream, edge);
        k.products ? E::template learn<true>(row, k.units) : E::template learn<false>(row, k.units);
    });
}

} // namespace

extern "C" {

void recurrent_read(int is_double, const Leaving *edges, Int threads) {
    is_double ? read<double>(*edges, threads) : read<float>(*edges, threads);
}

void recurrent_learn(int is_double, const Leaving *edges, Int threads) {
    is_double ? learn<double>(*edges, threads) : learn<float>(*edges, threads);
}
}
