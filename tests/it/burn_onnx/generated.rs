extern crate alloc;
use burn::prelude::*;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::nn::conv::Conv2dConfig;
use burn::nn::pool::AdaptiveAvgPool2d;
use burn::nn::pool::AdaptiveAvgPool2dConfig;
use burn::nn::pool::AvgPool2d;
use burn::nn::pool::AvgPool2dConfig;
use burn::nn::pool::MaxPool2d;
use burn::nn::pool::MaxPool2dConfig;
use burn::tensor::Bytes;
use burn_store::BurnpackStore;
use burn_store::ModuleSnapshot;


#[derive(Module, Debug)]
pub struct Model {
    constant1: burn::module::Param<Tensor<4>>,
    constant2: burn::module::Param<Tensor<4>>,
    constant3: burn::module::Param<Tensor<4>>,
    constant4: burn::module::Param<Tensor<4>>,
    constant7: burn::module::Param<Tensor<1>>,
    constant8: burn::module::Param<Tensor<1>>,
    constant9: burn::module::Param<Tensor<1>>,
    constant14: burn::module::Param<Tensor<2>>,
    constant15: burn::module::Param<Tensor<1>>,
    constant16: burn::module::Param<Tensor<1>>,
    constant19: burn::module::Param<Tensor<2>>,
    constant20: burn::module::Param<Tensor<1>>,
    conv2d1: Conv2d,
    conv2d2: Conv2d,
    conv2d3: Conv2d,
    maxpool2d1: MaxPool2d,
    globalaveragepool1: AdaptiveAvgPool2d,
    averagepool2d1: AvgPool2d,
    conv2d4: Conv2d,
    #[module(skip)]
    device: Device,
}


impl Model {
    /// Load model weights from in-memory bytes.
    ///
    /// The bytes must be the contents of a `.bpk` file.
    pub fn from_bytes(bytes: Bytes, device: &Device) -> Self {
        let mut model = Self::new(device);
        let mut store = BurnpackStore::from_bytes(Some(bytes));
        model
            .load_from(&mut store)
            .unwrap_or_else(|e| panic!("Failed to load burnpack bytes: {e}"));
        model
    }
}

impl Model {
    #[allow(unused_variables)]
    pub fn new(device: &Device) -> Self {
        let constant1: burn::module::Param<Tensor<4>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                4,
            >::zeros([1, 1, 1, 1], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [1, 1, 1, 1].into(),
        );
        let constant2: burn::module::Param<Tensor<4>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                4,
            >::zeros([1, 1, 1, 1], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [1, 1, 1, 1].into(),
        );
        let constant3: burn::module::Param<Tensor<4>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                4,
            >::zeros([1, 1, 1, 1], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [1, 1, 1, 1].into(),
        );
        let constant4: burn::module::Param<Tensor<4>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                4,
            >::zeros([1, 1, 1, 1], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [1, 1, 1, 1].into(),
        );
        let constant7: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([1.4142135381698608f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let constant8: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([1f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let constant9: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([0.5f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let constant14: burn::module::Param<Tensor<2>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                2,
            >::zeros([4, 3], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [4, 3].into(),
        );
        let constant15: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::zeros([3], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [3].into(),
        );
        let constant16: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([0.3333333432674408f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let constant19: burn::module::Param<Tensor<2>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                2,
            >::zeros([2, 3], (device, burn::tensor::DType::F32)),
            device.clone(),
            false,
            [2, 3].into(),
        );
        let constant20: burn::module::Param<Tensor<1>> = burn::module::Param::uninitialized(
            burn::module::ParamId::new(),
            move |device, _require_grad| Tensor::<
                1,
            >::from_data(
                burn::tensor::TensorData::from([0.6666666865348816f64]),
                (device, burn::tensor::DType::F32),
            ),
            device.clone(),
            false,
            [1].into(),
        );
        let conv2d1 = Conv2dConfig::new([1, 3], [3, 3])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d2 = Conv2dConfig::new([3, 4], [3, 3])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let conv2d3 = Conv2dConfig::new([3, 4], [1, 1])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        let maxpool2d1 = MaxPool2dConfig::new([2, 2])
            .with_strides([2, 2])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_ceil_mode(false)
            .init();
        let globalaveragepool1 = AdaptiveAvgPool2dConfig::new([1, 1]).init();
        let averagepool2d1 = AvgPool2dConfig::new([2, 2])
            .with_strides([2, 2])
            .with_padding(PaddingConfig2d::Valid)
            .with_count_include_pad(false)
            .with_ceil_mode(false)
            .init();
        let conv2d4 = Conv2dConfig::new([1, 2], [2, 2])
            .with_stride([1, 1])
            .with_padding(PaddingConfig2d::Valid)
            .with_dilation([1, 1])
            .with_groups(1)
            .with_bias(true)
            .init(device);
        Self {
            constant1,
            constant2,
            constant3,
            constant4,
            constant7,
            constant8,
            constant9,
            constant14,
            constant15,
            constant16,
            constant19,
            constant20,
            conv2d1,
            conv2d2,
            conv2d3,
            maxpool2d1,
            globalaveragepool1,
            averagepool2d1,
            conv2d4,
            device: device.clone(),
        }
    }

    #[allow(clippy::let_and_return, clippy::approx_constant)]
    pub fn forward(&self, image: Tensor<4>) -> (Tensor<1, Int>, Tensor<2>) {
        let constant1_out1 = self.constant1.val();
        let constant2_out1 = self.constant2.val();
        let constant3_out1 = self.constant3.val();
        let constant4_out1 = self.constant4.val();
        let constant7_out1 = self.constant7.val();
        let constant8_out1 = self.constant8.val();
        let constant9_out1 = self.constant9.val();
        let constant14_out1 = self.constant14.val();
        let constant15_out1 = self.constant15.val();
        let constant16_out1 = self.constant16.val();
        let constant19_out1 = self.constant19.val();
        let constant20_out1 = self.constant20.val();
        let sub1_out1 = image.sub(constant1_out1);
        let mul1_out1 = sub1_out1.mul(constant2_out1);
        let mul2_out1 = mul1_out1.clone().mul(constant3_out1);
        let add1_out1 = mul2_out1.add(constant4_out1);
        let conv2d1_out1 = self.conv2d1.forward(add1_out1);
        let div1_out1 = conv2d1_out1
            .clone()
            .div((constant7_out1).unsqueeze_dims(&[0isize, 1isize, 2isize]));
        let erf1_out1 = div1_out1.erf();
        let add2_out1 = erf1_out1
            .add((constant8_out1).unsqueeze_dims(&[0isize, 1isize, 2isize]));
        let mul3_out1 = conv2d1_out1.mul(add2_out1);
        let mul4_out1 = mul3_out1
            .mul((constant9_out1).unsqueeze_dims(&[0isize, 1isize, 2isize]));
        let conv2d2_out1 = self.conv2d2.forward(mul4_out1.clone());
        let relu1_out1 = burn::tensor::activation::relu(conv2d2_out1);
        let conv2d3_out1 = self.conv2d3.forward(mul4_out1);
        let add3_out1 = relu1_out1.add(conv2d3_out1);
        let maxpool2d1_out1 = self.maxpool2d1.forward(add3_out1);
        let globalaveragepool1_out1 = self.globalaveragepool1.forward(maxpool2d1_out1);
        let flatten1_out1 = {
            let leading_dim = globalaveragepool1_out1
                .shape()[..1]
                .iter()
                .product::<usize>() as i32;
            globalaveragepool1_out1.reshape::<2, _>([leading_dim, -1])
        };
        let gemm1_out1 = flatten1_out1.matmul(constant14_out1)
            + constant15_out1.unsqueeze();
        let softmax1_out1 = burn::tensor::activation::softmax(gemm1_out1, 1);
        let mul5_out1 = softmax1_out1.mul((constant16_out1).unsqueeze_dims(&[0isize]));
        let averagepool2d1_out1 = self.averagepool2d1.forward(mul1_out1);
        let conv2d4_out1 = self.conv2d4.forward(averagepool2d1_out1);
        let relu2_out1 = burn::tensor::activation::relu(conv2d4_out1.clone());
        let add4_out1 = relu2_out1.add(conv2d4_out1);
        let globalmaxpool1_out1 = add4_out1.max_dims(&[2, 3]);
        let flatten2_out1 = {
            let leading_dim = globalmaxpool1_out1.shape()[..1].iter().product::<usize>()
                as i32;
            globalmaxpool1_out1.reshape::<2, _>([leading_dim, -1])
        };
        let gemm2_out1 = flatten2_out1.matmul(constant19_out1);
        let softmax2_out1 = burn::tensor::activation::softmax(gemm2_out1, 1);
        let mul6_out1 = softmax2_out1.mul((constant20_out1).unsqueeze_dims(&[0isize]));
        let add5_out1 = mul5_out1.add(mul6_out1);
        let argmax_result = add5_out1.clone().argmax(1);
        let argmax1_out1 = argmax_result
            .squeeze_dim::<1usize>(1)
            .cast(burn::tensor::DType::I64);
        (argmax1_out1, add5_out1)
    }
}
