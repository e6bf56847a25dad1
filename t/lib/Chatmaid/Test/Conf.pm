package Chatmaid::Test::Conf;

# What nginx -t says of a configuration.
#
#   refused('no such file', qr/open\(\) .* failed/, nginx_t(http => '…'));
#   fine('what is right', nginx_t(http => '…'));

use Mojo::Base -strict, -signatures;
use Chatmaid::Test::World qw(slurp);
use Exporter 'import';
use Test::More;

our @EXPORT = qw(said refused warned fine line_of);

# Lines of that level, or the whole output if there is none.
sub said ($out, $level) {
    my @lines = grep { /\[$level\]/ } split /\n/, $out;
    return @lines ? join "\n", @lines : $out;
}

sub refused ($name, $pattern, $code, $out) {
    is($code, 1, "$name: refused");
    like(said($out, 'emerg'), $pattern, "$name: says so");
    like(said($out, 'emerg'), qr/nginx\.conf:\d+|\] unknown "\w+" variable/, "$name: says where, if nginx itself does");
    unlike($out, qr/sk_(?:test|live)_[A-Za-z0-9]{6}|whsec_|Bearer/, "$name: without the secret");
}

sub warned ($name, $pattern, $code, $out) {
    is($code, 0, "$name: taken");
    like(said($out, 'warn'), qr/\[warn\].*$pattern.* in \S+nginx\.conf:\d+/, "$name: a warning");
    unlike($out, qr/sk_(?:test|live)_[A-Za-z0-9]{6}|whsec_\w|Bearer/, "$name: without the secret");
}

sub fine ($name, $code, $out) {
    is($code, 0, "$name: taken");
    is(join('', grep { /chatmaid/ && /\[warn\]|\[emerg\]/ } split /^/, $out), '', "$name: nothing to say");
}

# The line of the configuration that an error, or else a warning, names.
sub line_of ($out) {
    my ($file, $line) = said($out, 'emerg|warn') =~ m{ in (/\S+/nginx\.conf):(\d+)$}m or return '';
    return (split /\n/, slurp($file))[$line - 1];
}

1;
