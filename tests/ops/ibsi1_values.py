"""Reference values of IBSI 1 for the configurations D and E of the CT phantom, with their tolerances.

Zwanenburg et al., Radiology 2020, doi:10.1148/radiol.2020191145. Both are in space on 2 mm voxels: D interpolates
linearly and leaves outliers out, E interpolates with cubic splines and has a range besides.
"""

from __future__ import annotations

_SHAPES = """
morph_volume 367000/6000
morph_vol_approx 368000/6000
morph_area_mesh 34300/400
morph_av .0934/.0007
morph_comp_1 .0326/.0002
morph_comp_2 .378/.004
morph_sph_dispr 1.38/.01
morph_sphericity .723/.003
morph_asphericity .383/.004
morph_diam 125/1
morph_pca_maj_axis 93.3/.5
morph_pca_min_axis 82/.5
morph_pca_least_axis 70.9/.4
morph_pca_elongation .879/.001
morph_pca_flatness .76/.001
morph_vol_dens_aabb .478/.003
morph_area_dens_aabb .678/.003
morph_vol_dens_aee 1.29/.01
morph_area_dens_aee 1.62/.01
morph_vol_dens_conv_hull .834/.002
morph_area_dens_conv_hull 1.13/.01
"""

_ROWS = """
morph_com 64.9/2.8 68.5/2.1
morph_integ_int -8.64e6/1.56e6 -8.31e6/1.6e6
morph_moran_i .0622/.0013 .0596/.0014
morph_geary_c .851/.001 .853/.001
loc_peak_loc 201/10 181/13
loc_peak_glob 201/5 181/5
stat_mean -23.5/3.9 -22.6/4.1
stat_var 32800/2100 35100/2200
stat_skew -2.28/.06 -2.3/.07
stat_kurt 4.35/.32 4.44/.33
stat_median 42/.4 43/.5
stat_min -724/12 -743/13
stat_p10 -304/20 -310/21
stat_p90 86/.1 93/.2
stat_max 521/22 345/9
stat_iqr 57/4.1 62/3.5
stat_range 1240/40 1090/30
stat_mad 123/6 125/6
stat_rmad 46.8/3.6 46.5/3.7
stat_medad 94.7/3.8 97.9/3.9
stat_cov -7.7/1.01 -8.28/.95
stat_qcod .74/.011 .795/.337
stat_energy 1.48e9/1.4e8 1.58e9/1.4e8
stat_rms 183/7 189/7
ih_mean 18.5/.5 21.7/.3
ih_var 21.7/.4 30.4/.8
ih_skew -2.27/.06 -2.29/.07
ih_kurt 4.31/.32 4.4/.33
ih_median 20/.5 24/.2
ih_min 1/0 1/0
ih_p10 11/.7 13/.7
ih_p90 21/.5 25/.2
ih_max 32/0 32/0
ih_mode 20/.4 24/.1
ih_iqr 2/.06 1/.06
ih_range 31/0 31/0
ih_mad 3.15/.05 3.69/.1
ih_rmad 1.33/.06 1.46/.09
ih_medad 2.41/.04 2.89/.07
ih_cov .252/.006 .254/.006
ih_qcod .05/.0021 .0213/.0015
ih_entropy 2.94/.01 3.22/.02
ih_uniformity .229/.003 .184/.001
ih_max_grad 7260/200 6010/130
ih_max_grad_g 19/.4 23/.2
ih_min_grad -6670/230 -6110/180
ih_min_grad_g 22/.4 25/.2
ivh_v10 .972/.003 .975/.002
ivh_v90 .00009/.000415 .000157/.000248
ivh_i10 87/.1 770/5
ivh_i90 -303/20 399/17
ivh_diff_v10_v90 .971/.001 .974/.001
ivh_diff_i10_i90 390/20 371/13
cm_joint_max_3D_avg .232/.007 .153/.003
cm_joint_avg_3D_avg 18.9/.5 22.1/.3
cm_joint_var_3D_avg 17.6/.4 24.4/.9
cm_joint_entr_3D_avg 4.95/.03 5.6/.03
cm_diff_avg_3D_avg 1.29/.01 1.7/.01
cm_diff_var_3D_avg 5.37/.11 8.22/.06
cm_diff_entr_3D_avg 2.13/.01 2.39/.01
cm_sum_avg_3D_avg 37.7/.8 44.3/.4
cm_sum_var_3D_avg 63.4/1.3 86.6/3.3
cm_sum_entr_3D_avg 3.68/.02 3.96/.02
cm_energy_3D_avg .11/.003 .0638/.0009
cm_contrast_3D_avg 7.07/.13 11.1/.1
cm_dissimilarity_3D_avg 1.29/.01 1.7/.01
cm_inv_diff_3D_avg .682/.003 .608/.001
cm_inv_diff_norm_3D_avg .965/.001 .955/.001
cm_inv_diff_mom_3D_avg .656/.003 .576/.001
cm_inv_diff_mom_norm_3D_avg .994/.001 .99/.001
cm_inv_var_3D_avg .341/.005 .41/.004
cm_corr_3D_avg .798/.005 .771/.006
cm_auto_corr_3D_avg 370/16 509/8
cm_clust_tend_3D_avg 63.4/1.3 86.6/3.3
cm_clust_shade_3D_avg -1270/40 -2070/70
cm_clust_prom_3D_avg 35700/1400 68900/2100
cm_info_corr1_3D_avg -.231/.003 -.181/.003
cm_info_corr2_3D_avg .845/.003 .813/.004
cm_joint_max_3D_comb .232/.007 .153/.003
cm_joint_avg_3D_comb 18.9/.5 22.1/.3
cm_joint_var_3D_comb 17.6/.4 24.4/.9
cm_joint_entr_3D_comb 4.96/.03 5.61/.03
cm_diff_avg_3D_comb 1.29/.01 1.7/.01
cm_diff_var_3D_comb 5.38/.11 8.23/.06
cm_diff_entr_3D_comb 2.14/.01 2.4/.01
cm_sum_avg_3D_comb 37.7/.8 44.3/.4
cm_sum_var_3D_comb 63.5/1.3 86.7/3.3
cm_sum_entr_3D_comb 3.68/.02 3.97/.02
cm_energy_3D_comb .109/.003 .0635/.0009
cm_contrast_3D_comb 7.05/.13 11.1/.1
cm_dissimilarity_3D_comb 1.29/.01 1.7/.01
cm_inv_diff_3D_comb .682/.003 .608/.001
cm_inv_diff_norm_3D_comb .965/.001 .955/.001
cm_inv_diff_mom_3D_comb .657/.003 .577/.001
cm_inv_diff_mom_norm_3D_comb .994/.001 .99/.001
cm_inv_var_3D_comb .34/.005 .41/.004
cm_corr_3D_comb .8/.005 .773/.006
cm_auto_corr_3D_comb 370/16 509/8
cm_clust_tend_3D_comb 63.5/1.3 86.7/3.3
cm_clust_shade_3D_comb -1280/40 -2080/70
cm_clust_prom_3D_comb 35700/1500 69000/2100
cm_info_corr1_3D_comb -.225/.003 -.175/.003
cm_info_corr2_3D_comb .846/.003 .813/.004
rlm_sre_3D_avg .734/.001 .776/.001
rlm_lre_3D_avg 6.66/.18 3.55/.07
rlm_lgre_3D_avg .0257/.0012 .0204/.0008
rlm_hgre_3D_avg 326/17 471/9
rlm_srlge_3D_avg .0232/.001 .0187/.0007
rlm_srhge_3D_avg 219/13 346/7
rlm_lrlge_3D_avg .0484/.0031 .0313/.0016
rlm_lrhge_3D_avg 2670/30 1900/20
rlm_glnu_3D_avg 3290/10 4000/10
rlm_glnu_norm_3D_avg .133/.002 .135/.003
rlm_rlnu_3D_avg 12400/200 16600/300
rlm_rlnu_norm_3D_avg .5/.001 .559/.001
rlm_r_perc_3D_avg .554/.005 .664/.003
rlm_gl_var_3D_avg 31.5/.4 39.8/.9
rlm_rl_var_3D_avg 3.35/.14 1.26/.05
rlm_rl_entr_3D_avg 5.08/.02 4.87/.03
rlm_sre_3D_comb .736/.001 .777/.001
rlm_lre_3D_comb 6.56/.18 3.52/.07
rlm_lgre_3D_comb .0257/.0012 .0204/.0008
rlm_hgre_3D_comb 326/17 471/9
rlm_srlge_3D_comb .0232/.001 .0186/.0007
rlm_srhge_3D_comb 219/13 347/7
rlm_lrlge_3D_comb .0478/.0031 .0311/.0016
rlm_lrhge_3D_comb 2630/30 1890/20
rlm_glnu_3D_comb 42800/200 51900/200
rlm_glnu_norm_3D_comb .134/.002 .135/.003
rlm_rlnu_3D_comb 160000/3000 215000/4000
rlm_rlnu_norm_3D_comb .501/.001 .56/.001
rlm_r_perc_3D_comb .554/.005 .664/.003
rlm_gl_var_3D_comb 31.4/.4 39.7/.9
rlm_rl_var_3D_comb 3.29/.13 1.25/.05
rlm_rl_entr_3D_comb 5.08/.02 4.87/.03
szm_sze_3D .637/.005 .676/.003
szm_lze_3D 99100/2800 58600/800
szm_lgze_3D .0409/.0005 .034/.0004
szm_hgze_3D 188/10 286/6
szm_szlge_3D .0248/.0004 .0224/.0004
szm_szhge_3D 117/7 186/4
szm_lzlge_3D 241/14 105/4
szm_lzhge_3D 4.14e7/3e5 3.36e7/3e5
szm_glnu_3D 212/6 231/6
szm_glnu_norm_3D .0491/.0008 .0414/.0003
szm_zsnu_3D 1630/10 2370/40
szm_zsnu_norm_3D .377/.006 .424/.004
szm_z_perc_3D .0972/.0007 .126/.001
szm_gl_var_3D 32.7/1.6 50.8/.9
szm_zs_var_3D 99000/2800 58500/800
szm_zs_entr_3D 6.52/.01 6.57/.01
dzm_sde_3D .579/.004 .527/.004
dzm_lde_3D 10.3/.1 12.6/.1
dzm_lgze_3D .0409/.0005 .034/.0004
dzm_hgze_3D 188/10 286/6
dzm_sdlge_3D .0302/.0006 .0228/.0003
dzm_sdhge_3D 99.3/5.1 136/4
dzm_ldlge_3D .183/.004 .179/.004
dzm_ldhge_3D 2620/110 4850/60
dzm_glnu_3D 212/6 231/6
dzm_glnu_norm_3D .0491/.0008 .0414/.0003
dzm_zdnu_3D 1370/20 1500/30
dzm_zdnu_norm_3D .317/.004 .269/.003
dzm_z_perc_3D .0972/.0007 .126/.001
dzm_gl_var_3D 32.7/1.6 50.8/.9
dzm_zd_var_3D 4.61/.04 5.56/.05
dzm_zd_entr_3D 6.61/.03 7.06/.01
ngt_coarseness_3D .000208/.000004 .000188/.000004
ngt_contrast_3D .046/.0005 .0752/.0019
ngt_busyness_3D 5.14/.14 4.65/.1
ngt_complexity_3D 400/5 574/1
ngt_strength_3D .162/.008 .167/.006
ngl_lde_3D .0912/.0007 .118/.001
ngl_hde_3D 223/5 134/3
ngl_lgce_3D .0168/.0009 .0154/.0007
ngl_hgce_3D 364/16 502/8
ngl_ldlge_3D .00357/.00004 .00388/.00004
ngl_ldhge_3D 18.9/1.1 36.7/.5
ngl_hdlge_3D .798/.072 .457/.031
ngl_hdhge_3D 92800/1300 76000/600
ngl_glnu_3D 10200/300 8170/130
ngl_glnu_norm_3D .229/.003 .184/.001
ngl_dcnu_3D 1840/30 2250/30
ngl_dcnu_norm_3D .0413/.0003 .0505/.0003
ngl_dc_perc_3D 1/0 1/0
ngl_gl_var_3D 21.7/.4 30.4/.8
ngl_dc_var_3D 63.9/1.3 39.4/1
ngl_dc_entr_3D 6.98/.01 7.06/.02
ngl_dc_energy_3D .0113/.0002 .0106/.0001
"""


def reference_values() -> dict[str, dict[str, tuple[float, float]]]:
    """Return value and tolerance by configuration (``D``, ``E``) and column."""
    found: dict[str, dict[str, tuple[float, float]]] = {"D": {}, "E": {}}
    for row in (_SHAPES + _ROWS).split("\n"):
        if row:
            name, *cells = row.split()
            for configuration, cell in zip("DE", cells * (3 - len(cells)), strict=True):
                value, tolerance = (float(part) for part in cell.split("/"))
                found[configuration][name] = value, tolerance
    return found
