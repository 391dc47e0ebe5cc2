"""The U-Net of unet in TensorFlow; see worker.py. The network is written in
TensorFlow's own operations, with fused batch-norm and Adam: Keras' layers do
the same in more steps. In inference the weights are constants of the graph, so
that TensorFlow may fold the batch-norm. VARIANT xla compiles with XLA."""

import numpy as np
import tensorflow as tf

import worker

job = worker.Job()
tf.config.threading.set_intra_op_parallelism_threads(job.threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
arch, values = job.model()
ops, lr, beta1, beta2 = tf.raw_ops, 1e-4, 0.9, 0.999


def native(v):
    """A weight as TensorFlow lays it out."""
    return v.transpose(2, 3, 1, 0) if v.ndim == 4 else v


values = {k: native(v) for k, v in values.items()}
if job.training:
    values = {k: tf.Variable(v, trainable="running" not in k) for k, v in values.items()}
    trained = [v for v in values.values() if v.trainable]
    moments = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in trained]
    powers = tf.Variable(1.0), tf.Variable(1.0)


def norm(x, name):
    if arch["norm"] == "group":
        return group_norm(x, name)
    scale, offset = values[name + ".weight"], values[name + ".bias"]
    mean, variance = values[name + ".running_mean"], values[name + ".running_var"]
    if not job.training:
        return ops.FusedBatchNormV3(x=x, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=1e-5, is_training=False).y
    b = ops.FusedBatchNormV3(x=x, scale=scale, offset=offset, mean=[], variance=[], epsilon=1e-5, is_training=True)
    mean.assign_add(0.1 * (b.batch_mean - mean))
    variance.assign_add(0.1 * (b.batch_variance - variance))
    return b.y


def group_norm(x, name):
    n, h, w, c = x.shape
    g = tf.reshape(x, (n, h, w, c // 16, 16))
    mean, variance = tf.nn.moments(g, (1, 2, 4), keepdims=True)
    g = tf.reshape((g - mean) * tf.math.rsqrt(variance + 1e-5), (n, h, w, c))
    return g * values[name + ".weight"] + values[name + ".bias"]


def conv(x, name):
    y = tf.nn.conv2d(x, values[name + ".weight"], 1, "SAME")
    return tf.nn.bias_add(y, values[name + ".bias"]) if name + ".bias" in values else y


def block(x, name):
    y = tf.nn.relu(norm(conv(x, name + ".conv1"), name + ".norm1"))
    y = norm(conv(y, name + ".conv2"), name + ".norm2")
    if arch.get("block") == "residual":
        y = y + norm(conv(x, name + ".shortcut"), name + ".norm0")
    return tf.nn.relu(y)


def gated(skip, x, name):
    if not arch.get("attention"):
        return skip
    hidden = tf.nn.relu(conv(tf.concat([skip, x], 3), name + ".gate.conv"))
    return skip * tf.sigmoid(conv(hidden, name + ".gate.psi"))


def up(x, name):
    n, h, w, c = x.shape
    if arch.get("up") == "nearest":
        y = tf.reshape(tf.tile(x[:, :, None, :, None], (1, 1, 2, 1, 2, 1)), (n, 2 * h, 2 * w, c))
        return tf.nn.relu(norm(conv(y, name + ".up.conv"), name + ".up.norm"))
    weight = values[name + ".up.weight"]
    y = tf.nn.conv2d_transpose(x, weight, (n, 2 * h, 2 * w, weight.shape[2]), 2)
    return tf.nn.bias_add(y, values[name + ".up.bias"])


def net(x):
    skips = []
    for level in range(arch["depth"]):
        x = block(x, f"enc{level}")
        skips.append(x)
        x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = block(x, "bottom")
    for level in reversed(range(arch["depth"])):
        x = up(x, f"dec{level}")
        x = block(tf.concat([x, gated(skips[level], x, f"dec{level}")], 3), f"dec{level}")
    return conv(x, "head")


def train(x, t):
    with tf.GradientTape() as tape:
        z = net(x)
        loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(t, z))
    gradients = tape.gradient(loss, trained)
    powers[0].assign(powers[0] * beta1)
    powers[1].assign(powers[1] * beta2)
    for p, g, (m, v) in zip(trained, gradients, moments):
        ops.ResourceApplyAdam(var=p.handle, m=m.handle, v=v.handle, beta1_power=powers[0], beta2_power=powers[1],
                              lr=lr, beta1=beta1, beta2=beta2, epsilon=1e-8, grad=g)
    return tf.sigmoid(z)


x, t = (tf.constant(np.ascontiguousarray(v.transpose(0, 2, 3, 1))) for v in (job.x, job.t))
f = tf.function(train if job.training else lambda x, t: tf.sigmoid(net(x)), jit_compile=job.variant == "xla")
worker.serve(job, f"TensorFlow {tf.__version__} {job.variant}", lambda: f(x, t).numpy(), lambda p: p.transpose(0, 3, 1, 2))
