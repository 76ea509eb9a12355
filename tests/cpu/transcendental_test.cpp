// SPDX-License-Identifier: GPL-2.0-or-later
/// The elementary functions before their one rounding: at least 115 bits are right. The values were computed to 90 digits (Python's decimal, series of its own).
/// SDM 1 "Transcendental Instruction Accuracy", "Approximation of Pi"
#include <gtest/gtest.h>

#include <cstdlib>

#include "insn/transcendental.hpp"

namespace vt::cpu {
namespace {

struct Arg { bool sign; i32 exp; u64 sig; };
struct Value { bool sign; i32 exp; u64 high, low; };
enum class Fn { sine, cosine, tangent, arctangent, power, logarithm, logarithm_plus_1 };
struct Row { Fn fn; Arg a, b; Value v; };   // arctangent: a / b by quadrant; logarithms: a * log2(b)
constexpr Row kRows[] = {
    {Fn::sine, {false, -13, 0x8000000000000000}, {}, {false, -14, 0xfffffff555555577, 0x77777743743743a2}},
    {Fn::cosine, {false, -13, 0x8000000000000000}, {}, {false, -1, 0xffffffe0000000aa, 0xaaaaa93e93e94034}},
    {Fn::tangent, {false, -13, 0x8000000000000000}, {}, {false, -13, 0x8000000aaaaaabbb, 0xbbbbd75d75da2a14}},
    {Fn::sine, {false, -4, 0xcccccccccccccccc}, {}, {false, -4, 0xcc75765c5e595e96, 0xa06846ddfd23c053}},
    {Fn::cosine, {false, -4, 0xcccccccccccccccc}, {}, {false, -1, 0xfeb897cd40be0413, 0x463a7ebaaaa5c74f}},
    {Fn::tangent, {false, -4, 0xcccccccccccccccc}, {}, {false, -4, 0xcd7c43ba185bfda1, 0x9f5c1426c42f67ff}},
    {Fn::sine, {false, -2, 0x9999999999999999}, {}, {false, -2, 0x974e6cadd5d19c2a, 0x7335dd5a453e3005}},
    {Fn::cosine, {false, -2, 0x9999999999999999}, {}, {false, -1, 0xf490eea1784dd2c9, 0x24330da1314b7334}},
    {Fn::tangent, {false, -2, 0x9999999999999999}, {}, {false, -2, 0x9e61522714ccbdca, 0x73d93e62280f37e8}},
    {Fn::sine, {false, -1, 0x8000000000000000}, {}, {false, -2, 0xf57743a2582f7f43, 0xb25e1b27ec1bdb33}},
    {Fn::cosine, {false, -1, 0x8000000000000000}, {}, {false, -1, 0xe0a94032dbea7ced, 0xbddd9da2fafad985}},
    {Fn::tangent, {false, -1, 0x8000000000000000}, {}, {false, -1, 0x8bda7adf9a3a5218, 0xbcb2403c41222664}},
    {Fn::sine, {false, -1, 0xc7ae147ae147ae14}, {}, {false, -1, 0xb40a1eb96a67227f, 0xb594c399ee47f927}},
    {Fn::cosine, {false, -1, 0xc7ae147ae147ae14}, {}, {false, -1, 0xb5fe6dfc0bdfd3fe, 0x881db9606f9a3cc3}},
    {Fn::tangent, {false, -1, 0xc7ae147ae147ae14}, {}, {false, -1, 0xfd403e7c13622111, 0xb72eb39b9c4f2d06}},
    {Fn::sine, {false, -1, 0xcccccccccccccccc}, {}, {false, -1, 0xb7a4a615fff665da, 0x96a7e05db892e998}},
    {Fn::cosine, {false, -1, 0xcccccccccccccccc}, {}, {false, -1, 0xb25b5ef38cc32a6f, 0xc349ac55e4f24fb6}},
    {Fn::tangent, {false, -1, 0xcccccccccccccccc}, {}, {false, 0, 0x83cb323c9db0546f, 0x8cf2b1e75707a026}},
    {Fn::sine, {false, 0, 0x8000000000000000}, {}, {false, -1, 0xd76aa47848677020, 0xcc12d33a698c689b}},
    {Fn::cosine, {false, 0, 0x8000000000000000}, {}, {false, -1, 0x8a51407da8345c91, 0xba3d39a4cf86bb57}},
    {Fn::tangent, {false, 0, 0x8000000000000000}, {}, {false, 0, 0xc75922e5f71d2dc5, 0x7699ee11be9b0e31}},
    {Fn::sine, {false, 0, 0xc000000000000000}, {}, {false, -1, 0xff5bd4d9636c56f3, 0x716cdd0ef903a98d}},
    {Fn::cosine, {false, 0, 0xc000000000000000}, {}, {false, -4, 0x90deaa7e2fcd3a1f, 0x4af1abd4869326f0}},
    {Fn::tangent, {false, 0, 0xc000000000000000}, {}, {false, 3, 0xe19f6a85c43bbad3, 0x62529630fd06d452}},
    {Fn::sine, {false, 1, 0x8000000000000000}, {}, {false, -1, 0xe8c7b7568da22efd, 0x582aaa232d2084b8}},
    {Fn::cosine, {false, 1, 0x8000000000000000}, {}, {true, -2, 0xd51132ba9b902521, 0xaada621f8d277b44}},
    {Fn::tangent, {false, 1, 0x8000000000000000}, {}, {true, 1, 0x8bd7b1704a87c1da, 0x76fefee39d0e384f}},
    {Fn::sine, {false, 1, 0xa000000000000000}, {}, {false, -1, 0x9935786e7e558405, 0x6bcc4401a0410730}},
    {Fn::cosine, {false, 1, 0xa000000000000000}, {}, {true, -1, 0xcd17bf7c2c5be958, 0x8868e259e9ea1764}},
    {Fn::tangent, {false, 1, 0xa000000000000000}, {}, {true, -1, 0xbf3cda7005d8a564, 0xbc81e57e8e94d9d1}},
    {Fn::sine, {false, 1, 0xc000000000000000}, {}, {false, -3, 0x9081c36db6aada78, 0x986932d6b2df7cc4}},
    {Fn::cosine, {false, 1, 0xc000000000000000}, {}, {true, -1, 0xfd7025f42f2e9307, 0xe2aa32eab4288578}},
    {Fn::tangent, {false, 1, 0xc000000000000000}, {}, {true, -3, 0x91f7b892a5c37866, 0x0a65acb84ea308a9}},
    {Fn::sine, {false, 2, 0x8000000000000000}, {}, {true, -1, 0xc1bdceeee0f57386, 0x877a31241caf9002}},
    {Fn::cosine, {false, 2, 0x8000000000000000}, {}, {true, -1, 0xa7553036d9260623, 0x212241ba1f686271}},
    {Fn::tangent, {false, 2, 0x8000000000000000}, {}, {false, 0, 0x94337cdf26f09b86, 0xfe0aebe390acbd4a}},
    {Fn::sine, {false, 2, 0xb000000000000000}, {}, {true, -1, 0xb49e4a705582b6b6, 0xa070a800b339eb40}},
    {Fn::cosine, {false, 2, 0xb000000000000000}, {}, {false, -1, 0xb56b61e03ea240ac, 0xdf2edd6464700bd3}},
    {Fn::tangent, {false, 2, 0xb000000000000000}, {}, {true, -1, 0xfede98b0ad83cffb, 0x69511c2e0939289f}},
    {Fn::sine, {true, 0, 0x9999999999999999}, {}, {true, -1, 0xee9a1d10d2ae2469, 0x3a97842454ce9a27}},
    {Fn::cosine, {true, 0, 0x9999999999999999}, {}, {false, -2, 0xb986f4a1dbce99b4, 0xcc5715f0780d409d}},
    {Fn::tangent, {true, 0, 0x9999999999999999}, {}, {true, 1, 0xa49e21d658b26b28, 0x936f8a31be3eeb8a}},
    {Fn::sine, {false, 2, 0xe000000000000000}, {}, {false, -1, 0xa83046136850421d, 0xf11098e87a5379bf}},
    {Fn::cosine, {false, 2, 0xe000000000000000}, {}, {false, -1, 0xc0ffbcf6c900baaf, 0xa4500c448aa38647}},
    {Fn::tangent, {false, 2, 0xe000000000000000}, {}, {false, -1, 0xdf173709f753c4c1, 0x5afb84bd4a6efd98}},
    {Fn::sine, {false, 6, 0xc800000000000000}, {}, {true, -1, 0x81a12dbc626dc036, 0x38a5b5d63a6bb894}},
    {Fn::cosine, {false, 6, 0xc800000000000000}, {}, {false, -1, 0xdcc0edfb32fefb20, 0xd7183e84feed74ef}},
    {Fn::tangent, {false, 6, 0xc800000000000000}, {}, {true, -1, 0x9653a6b15ae9bd79, 0x5076ede03119e480}},
    {Fn::sine, {false, 13, 0xc0e6b645a1cac083}, {}, {true, -1, 0xb43eac484b8de6f6, 0x300357f66385e5dc}},
    {Fn::cosine, {false, 13, 0xc0e6b645a1cac083}, {}, {false, -1, 0xb5ca61ddf13cce09, 0x36ffdc9c87421987}},
    {Fn::tangent, {false, 13, 0xc0e6b645a1cac083}, {}, {true, -1, 0xfdd2c1b1919177cd, 0xe6b229a1593f3f4e}},
    {Fn::sine, {false, 29, 0xee6b280000000000}, {}, {false, -1, 0x8bbc65741f647991, 0x0cf4e7c4b05639fb}},
    {Fn::cosine, {false, 29, 0xee6b280000000000}, {}, {false, -1, 0xd67fc639b14bcf3f, 0xea2bf476a8bbd19b}},
    {Fn::tangent, {false, 29, 0xee6b280000000000}, {}, {false, -1, 0xa6c5924f20e15f4a, 0x61d4e0a372185925}},
    {Fn::sine, {false, 49, 0xe35fa931a0000000}, {}, {false, -1, 0xdbb7b8f40de0426d, 0xf511d74823f15b7e}},
    {Fn::cosine, {false, 49, 0xe35fa931a0000000}, {}, {true, -1, 0x8360bcba0acc128f, 0x5dc6c146e4f2311c}},
    {Fn::tangent, {false, 49, 0xe35fa931a0000000}, {}, {true, 0, 0xd6118703d2409693, 0x78b504d61feec8d9}},
    {Fn::sine, {true, 61, 0xa688906bd8b00000}, {}, {true, -1, 0xef9b4149e5f45324, 0x2f2985c567a158f3}},
    {Fn::cosine, {true, 61, 0xa688906bd8b00000}, {}, {true, -2, 0xb44652cb82c763f4, 0x87f9f9cc2de4cda4}},
    {Fn::tangent, {true, 61, 0xa688906bd8b00000}, {}, {false, 1, 0xaa208f3eba9d0804, 0xb8b82b1a407f7195}},
    {Fn::arctangent, {false, -7, 0xa3d70a3d70a3d70a}, {false, 0, 0x8000000000000000}, {false, -7, 0xa3d5a458f7daeaaa, 0xf47e8ce62c9793f9}},
    {Fn::arctangent, {false, -4, 0xcccccccccccccccc}, {false, 0, 0x8000000000000000}, {false, -4, 0xcc1f1417166261d6, 0x221a0a66dbcb42ae}},
    {Fn::arctangent, {false, -3, 0xcccccccccccccccc}, {false, 0, 0x8000000000000000}, {false, -3, 0xca220fc7b9305b2e, 0x0a18e33fff684cd5}},
    {Fn::arctangent, {false, -2, 0x9999999999999999}, {false, 0, 0x8000000000000000}, {false, -2, 0x9539d330f5782f18, 0x628078942e2103b3}},
    {Fn::arctangent, {false, -2, 0xcccccccccccccccc}, {false, 0, 0x8000000000000000}, {false, -2, 0xc2d1bb5b3bedfdbf, 0xbc342e8a2e1ffe58}},
    {Fn::arctangent, {false, -1, 0x8000000000000000}, {false, 0, 0x8000000000000000}, {false, -2, 0xed63382b0dda7b45, 0x6fe445ecbc3a8d03}},
    {Fn::arctangent, {false, -1, 0x9c28f5c28f5c28f5}, {false, 0, 0x8000000000000000}, {false, -1, 0x8c38b0859ed20a4e, 0x50086f060f522f04}},
    {Fn::arctangent, {false, -1, 0xb333333333333333}, {false, 0, 0x8000000000000000}, {false, -1, 0x9c58896bdea56bc3, 0x386c988016a8ddc9}},
    {Fn::arctangent, {false, -1, 0xcccccccccccccccc}, {false, 0, 0x8000000000000000}, {false, -1, 0xacbbd2881f54924d, 0xb084a317a7d52ee7}},
    {Fn::arctangent, {false, -1, 0xe666666666666666}, {false, 0, 0x8000000000000000}, {false, -1, 0xbb99c540301df2f0, 0x34beecac1d7aa040}},
    {Fn::arctangent, {false, -1, 0xfd70a3d70a3d70a3}, {false, 0, 0x8000000000000000}, {false, -1, 0xc7c687b990a33ac8, 0xa9cdcd3aab6e89ba}},
    {Fn::arctangent, {false, 0, 0x8000000000000000}, {false, 0, 0x8000000000000000}, {false, -1, 0xc90fdaa22168c234, 0xc4c6628b80dc1cd1}},
    {Fn::arctangent, {false, 0, 0x8000000000000000}, {false, -1, 0xe666666666666666}, {false, -1, 0xd685f00412b39179, 0x54cdd86ae43d9962}},
    {Fn::arctangent, {false, 1, 0xc000000000000000}, {false, 1, 0x8000000000000000}, {false, -1, 0xfb985e940fb4d900, 0x7887af0cbbc9e141}},
    {Fn::arctangent, {false, 3, 0xa000000000000000}, {false, 1, 0xc000000000000000}, {false, 0, 0xa3c165d5e40ab66e, 0x88eb8d3523203071}},
    {Fn::arctangent, {false, 9, 0xfa00000000000000}, {false, 0, 0x8000000000000000}, {false, 0, 0xc8ef160732c5e609, 0xe7e3e20ee3ab6f38}},
    {Fn::arctangent, {false, 0, 0x8000000000000000}, {true, 1, 0xc000000000000000}, {false, 1, 0xb4784afefac9e110, 0x419152a6382c673d}},
    {Fn::arctangent, {false, 1, 0x8000000000000000}, {true, 1, 0xa000000000000000}, {false, 1, 0x9de0e60019939da1, 0x396d07d213c798e5}},
    {Fn::arctangent, {false, 2, 0xa000000000000000}, {true, 0, 0x8000000000000000}, {false, 0, 0xe2541c9b188ecd9a, 0x9ea708cc1e52ff09}},
    {Fn::arctangent, {true, 0, 0x8000000000000000}, {false, 1, 0x8000000000000000}, {true, -2, 0xed63382b0dda7b45, 0x6fe445ecbc3a8d03}},
    {Fn::arctangent, {true, 0, 0x8000000000000000}, {true, 1, 0x8000000000000000}, {true, 1, 0xab63739cbfad72cc, 0x16c9d9cde954cb30}},
    {Fn::arctangent, {true, 2, 0xe000000000000000}, {false, 0, 0x8000000000000000}, {true, 0, 0xb6e62bddab2fe5ac, 0x6f3770dae32ce4b8}},
    {Fn::arctangent, {true, -34, 0xdbe6fecebdedd5be}, {false, 1, 0xc000000000000000}, {true, -35, 0x9299ff347e9e8e7e, 0xa9aa41c72a15fe71}},
    {Fn::arctangent, {false, -30, 0x89705f4136b4a597}, {true, 0, 0x8000000000000000}, {false, 1, 0xc90fdaa10e8803b2, 0x575d17641b0f8477}},
    {Fn::power, {false, -60, 0x9392ee8e921d5d07}, {}, {false, -61, 0xcc94b85fbb51cf98, 0x693c9daab3902eec}},
    {Fn::power, {false, -14, 0xd1b71758e219652b}, {}, {false, -14, 0x915e587b74a02b4f, 0x41fc3dd50b0553db}},
    {Fn::power, {false, -4, 0xcccccccccccccccc}, {}, {false, -4, 0x92fdf71283321314, 0xba402f14302493a2}},
    {Fn::power, {false, -2, 0x8000000000000000}, {}, {false, -3, 0xc1bf828c6dc54b7a, 0x356918c17217b7b2}},
    {Fn::power, {false, -1, 0x8000000000000000}, {}, {false, -2, 0xd413cccfe7799211, 0x65f626cdd52afa7c}},
    {Fn::power, {false, -1, 0xc000000000000000}, {}, {false, -1, 0xae89f995ad3ad5e8, 0x734d1773205a7fbc}},
    {Fn::power, {false, -1, 0xfd70a3d70a3d70a3}, {}, {false, -1, 0xfc769e9b9c35dc53, 0x6296cfbb95cb9e04}},
    {Fn::power, {true, -50, 0x901d7cf73ab0acd9}, {}, {true, -51, 0xc7c93c0d7cedd138, 0xc489b6bfb72535d2}},
    {Fn::power, {true, -4, 0xcccccccccccccccc}, {}, {true, -4, 0x8925ffba153b7c97, 0x4d607b901d2c214b}},
    {Fn::power, {true, -1, 0x8000000000000000}, {}, {true, -2, 0x95f619980c4336f7, 0x4d04ec99156a82c1}},
    {Fn::power, {true, -1, 0xe666666666666666}, {}, {true, -2, 0xeda0411daf99bd9d, 0x09a0bc76a21927b4}},
    {Fn::power, {true, -1, 0xffbe76c8b4395810}, {}, {true, -2, 0xffd28ee38656a7d4, 0xfdf886911bd44706}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, -17, 0xa7c5ac471b478423}, {true, 4, 0x84e08b2f603136de, 0xeed1eb0cc4eac529}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, -17, 0xa7c5ac471b478423}, {false, 5, 0xf5d29b17a527d8b5, 0x32037a8bd26394f3}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, -2, 0x9999999999999999}, {true, 0, 0xde54e37a9c4bd22d, 0x7afca022f431d06d}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, -2, 0x9999999999999999}, {false, 2, 0xcda81f37d092ef36, 0x2cb29157d80b0573}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, -1, 0x80068db8bac710cb}, {true, -1, 0xffed179a4e696056, 0xe50e1abf99a2a2a1}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, -1, 0x80068db8bac710cb}, {false, 1, 0xecbb4f6ebbbb12b5, 0xfa55c5dc2f6222f6}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, -1, 0xb333333333333333}, {true, -1, 0x83bb1144b3e890c6, 0x636cb1030e5529e9}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, -1, 0xb333333333333333}, {false, 0, 0xf3b3acbf19a1723a, 0xfec42bd7baa972b3}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, -1, 0xb504f32ee13ef4b2}, {true, -1, 0x8000000a65cb5b7b, 0xd089ac551646bb3f}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, -1, 0xb504f32ee13ef4b2}, {false, 0, 0xeccccce0091e9c71, 0x0e984b8cc65714d5}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, -1, 0xb504f359d45cb913}, {true, -2, 0xffffff658961b2a0, 0xda4615c7324a1188}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, -1, 0xb504f359d45cb913}, {false, 0, 0xeccccc3debe0c53a, 0x6380d4a0a09cc150}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, -1, 0xffff583a53b8e4b8}, {true, -17, 0xf20b970a9c6c01f0, 0x4871b688b87c3dfa}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, -1, 0xffff583a53b8e4b8}, {false, -15, 0xdfe4521d03e3e830, 0xb4931ccf93e95161}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, 0, 0x800053e2d6238da3}, {false, -17, 0xf20af86a5b0d6b96, 0xaca6e03f6b6cd73b}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, 0, 0x800053e2d6238da3}, {true, -15, 0xdfe3bf6261060384, 0x37ab2f18c7538a9e}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, 0, 0x9999999999999999}, {false, -2, 0x86ac72158ed0b74a, 0x140d7f742f38be4b}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, 0, 0x9999999999999999}, {true, -1, 0xf9256ca7e1ceecae, 0x9a6b75413fa7d461}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, 0, 0xb504f32ee13ef4b2}, {false, -2, 0xffffffeb34694908, 0x5eeca755d3728981}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, 0, 0xb504f32ee13ef4b2}, {true, 0, 0xecccccb9907afd26, 0xf167b47339a8eb2a}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, 0, 0xb504f3445acdd6e2}, {false, -1, 0x800000216ac1e832, 0x2f5f6eb1ec789e75}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, 0, 0xb504f3445acdd6e2}, {true, 0, 0xeccccd0a9f19ed8f, 0x3e0a262d4aa8e4d5}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, 0, 0xd999999999999999}, {false, -1, 0xc3fa15cb94a4ea82, 0xa2ef8f1a9aa34e68}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, 0, 0xd999999999999999}, {true, 1, 0xb54754291cb225b8, 0x39ef1fbc24ecb9b8}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, 0, 0xfffcb923a29c779a}, {false, -1, 0xfffb45bfda7825e0, 0xdbf505d88233cf47}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, 0, 0xfffcb923a29c779a}, {true, 1, 0xecc86d5176e2563b, 0xfeacd401fcdc9b08}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, 1, 0xc000000000000000}, {false, 0, 0xcae00d1cfdeb43cf, 0xd00589050345d6e8}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, 1, 0xc000000000000000}, {true, 2, 0xbba8d8ee04799eb9, 0x3151e10d717dfd57}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, 3, 0xa000000000000000}, {false, 1, 0xd49a784bcd1b8afe, 0x492bf6ff4dafdb4c}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, 3, 0xa000000000000000}, {true, 3, 0xc4a87c12ea8646f7, 0x5999e43c50930875}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, 13, 0xc0e4000000000000}, {false, 3, 0xd9775aaebe16b9d4, 0xcf1b0c3b1bd82f7c}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, 13, 0xc0e4000000000000}, {true, 5, 0xc92800ae6fd5057d, 0xc4ccbc5e14e29742}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, 332, 0x924d692ca61be758}, {false, 8, 0xa618adfb383d8496, 0xa8b9b6c13d02458c}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, 332, 0x924d692ca61be758}, {true, 10, 0x99a3a0eec738e771, 0x3d980aa9c50a7ca9}},
    {Fn::logarithm, {false, 0, 0x8000000000000000}, {false, -997, 0xab70fe17c79ac6ca}, {true, 9, 0xf92504f8d45c46e1, 0xfdfa9f9732e92129}},
    {Fn::logarithm, {true, 1, 0xeccccccccccccccc}, {false, -997, 0xab70fe17c79ac6ca}, {false, 11, 0xe67571662ad55b29, 0xdd3702d7fecdd2c4}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {false, -60, 0x9392ee8e921d5d07}, {false, -60, 0xd4e77a4730979b1f, 0x92254377279a21a6}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {false, -60, 0x9392ee8e921d5d07}, {true, -58, 0xc4efb781d9bf6f7c, 0x89a9496210f5496d}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {false, -30, 0x89705f4136b4a597}, {false, -30, 0xc64851b0cc3a6caa, 0x6f2a3c14c6ac053f}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {false, -30, 0x89705f4136b4a597}, {true, -28, 0xb7694b905682d7b6, 0xa1cd3638fac9fab8}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {false, -10, 0x83126e978d4fdf3b}, {false, -10, 0xbd009fd65363545c, 0x8742f13bb525b71b}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {false, -10, 0x83126e978d4fdf3b}, {true, -8, 0xaed3c70ca6bbe13b, 0x65ea38def80d05e2}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {false, -4, 0xcccccccccccccccc}, {false, -3, 0x8ccdb9465ce83ffe, 0xd2d4e6c3da443cec}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {false, -4, 0xcccccccccccccccc}, {true, -1, 0x823e4b6115f06e64, 0xdf2d27a345f88528}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {false, -3, 0xf5c28f5c28f5c28f}, {false, -2, 0x9ee4e67954ee7abd, 0x51e04832a6fd1d72}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {false, -3, 0xf5c28f5c28f5c28f}, {true, 0, 0x92fa21fd082964bb, 0x6c9ebd9a9684f2a5}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {false, -2, 0x851eb851eb851eb8}, {false, -2, 0xaab684001eaca4ff, 0xe53290ab79394e95}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {false, -2, 0x851eb851eb851eb8}, {true, 0, 0x9de8d3b34f92e56c, 0x2b6ff5d1b797b17d}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {false, -2, 0x947ae147ae147ae1}, {false, -2, 0xbc180f70ea09647b, 0x00a4567498e08e0d}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {false, -2, 0x947ae147ae147ae1}, {true, 0, 0xadfca7e20baf168a, 0xca1e5d37ebc83303}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {true, -40, 0x8cbccc096f5088cb}, {true, -40, 0xcb0a91190cc2f4b7, 0x12338f6f6273df3a}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {true, -40, 0x8cbccc096f5088cb}, {false, -38, 0xbbd02c9d9234558f, 0x1b340a32fda8d11d}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {true, -4, 0xcccccccccccccccc}, {true, -3, 0x9ba6b2ecf30472e6, 0xee4155b8c68afe81}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {true, -4, 0xcccccccccccccccc}, {false, -1, 0x8ffa324e60ca83e1, 0xecaa468d5ba36918}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {true, -3, 0xf5c28f5c28f5c28f}, {true, -2, 0xcab729d8c8188755, 0x97dffec9ec78e43f}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {true, -3, 0xf5c28f5c28f5c28f}, {false, 0, 0xbb8306b552b049fb, 0x571caa33c10f66dc}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {true, -2, 0x851eb851eb851eb8}, {true, -2, 0xde6a0c05fe066024, 0x6e8e6ea7316a1f9b}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {true, -2, 0x851eb851eb851eb8}, {false, 0, 0xcdbbb1858af918ed, 0xcdeee9890f49dd1f}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {true, -2, 0x947ae147ae147ae1}, {true, -2, 0xfcfbdd32ef004766, 0xb94db670fffd206b}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {true, -2, 0x947ae147ae147ae1}, {false, 0, 0xea0293025046a871, 0x6dd197cc93fd1e77}},
    {Fn::logarithm_plus_1, {false, 0, 0x8000000000000000}, {false, -2, 0xcccccccccccccccc}, {false, -2, 0xf889dd76982ede73, 0x39269df9e355ac2c}},
    {Fn::logarithm_plus_1, {true, 1, 0xeccccccccccccccc}, {false, -2, 0xcccccccccccccccc}, {true, 0, 0xe5e5ecda7ff8275d, 0x013bd42845568d4c}},
};

sf::Exact of(const Arg& a) { return {a.sign, a.exp, static_cast<u128>(a.sig) << 64}; }
bool near(const sf::Exact& got, const Value& v) {
  const u128 want = static_cast<u128>(v.high) << 64 | v.low, one = 1;
  if (got.sign != v.sign) return false;
  // a carry into the next power of two is as near as any
  const u128 a = got.exp == v.exp ? got.sig : got.exp == v.exp + 1 ? got.sig : got.sig >> 1, b = got.exp == v.exp ? want : got.exp == v.exp + 1 ? want >> 1 : want;
  if (got.exp > v.exp + 1 || got.exp < v.exp - 1) return false;
  return (a > b ? a - b : b - a) < one << 12;
}

TEST(transcendental, is_right_to_115_bits) {
  for (const Row& r : kRows) {
    sf::Exact got;
    switch (r.fn) {
      case Fn::sine: got = sf::sin_cos(of(r.a)).sin; break;
      case Fn::cosine: got = sf::sin_cos(of(r.a)).cos; break;
      case Fn::tangent: got = sf::tangent(sf::sin_cos(of(r.a))); break;
      case Fn::arctangent: got = sf::arctangent(of(r.a), of(r.b)); break;
      case Fn::power: got = sf::exp2_minus_1(of(r.a)); break;
      case Fn::logarithm: got = sf::y_log2(of(r.a), of(r.b)); break;
      case Fn::logarithm_plus_1: got = sf::y_log2_plus_1(of(r.a), of(r.b)); break;
    }
    EXPECT_TRUE(near(got, r.v)) << "row " << (&r - kRows) << std::hex << ": " << got.sign << " " << std::dec << got.exp << std::hex << " " << static_cast<u64>(got.sig >> 64) << " " << static_cast<u64>(got.sig)
                                << ", should be " << r.v.sign << " " << std::dec << r.v.exp << std::hex << " " << r.v.high << " " << r.v.low;
    EXPECT_TRUE(got.sig & 1) << "none of these is exact";
  }
  for (unsigned n = 1; n < 5; ++n) {   // pi/4, pi/2, 3pi/4, pi
    const Value want[] = {{false, -1, 0xc90fdaa22168c234, 0xc4c6628b80dc1cd1}, {false, 0, 0xc90fdaa22168c234, 0xc4c6628b80dc1cd1}, {false, 1, 0x96cbe3f9990e91a7, 0x9394c9e8a0a5159c}, {false, 1, 0xc90fdaa22168c234, 0xc4c6628b80dc1cd1}};
    EXPECT_TRUE(near(sf::pi_quarters(false, n), want[n - 1])) << n;
    EXPECT_TRUE(sf::pi_quarters(true, n).sign);
  }
}

TEST(transcendental, what_is_exact) {   // powers of two, and the ends of 2^x - 1
  for (i32 e : {-300, -1, 0, 1, 5, 1000}) {
    const sf::Exact l = sf::y_log2({false, 0, static_cast<u128>(1) << 127}, {false, e, static_cast<u128>(1) << 127});
    if (e == 0) { EXPECT_EQ(l.sig, 0u); continue; }
    EXPECT_EQ(l.sign, e < 0);
    EXPECT_EQ(static_cast<u64>(l.sig >> (127 - l.exp)), static_cast<u64>(std::abs(e)));
    EXPECT_FALSE(l.sig & 1);
  }
  const sf::Exact up = sf::exp2_minus_1({false, 0, static_cast<u128>(1) << 127}), down = sf::exp2_minus_1({true, 0, static_cast<u128>(1) << 127});
  EXPECT_TRUE(!up.sign && up.exp == 0 && up.sig == static_cast<u128>(1) << 127);
  EXPECT_TRUE(down.sign && down.exp == -1 && down.sig == static_cast<u128>(1) << 127);
}

}  // namespace
}  // namespace vt::cpu
