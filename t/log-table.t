#!/usr/bin/perl

# docs/log.md against the sources: each line that the module can log at warn or
# above has a row there, with its level, and each row is such a line.

use strict;
use warnings;
use utf8;

use File::Basename qw(dirname);
use File::Find;
use File::Spec;
use Test::More;

my $top = File::Spec->rel2abs(dirname(__FILE__) . '/..');

# What an operator sees of each level: from this one on it is in the table.
my %LEVEL = (WARN => 'warn', ERR => 'error', CRIT => 'crit', ALERT => 'alert', EMERG => 'emerg');

binmode $_, ':utf8' for Test::More->builder->output, Test::More->builder->failure_output;

sub slurp {
    my ($file) = @_;
    open my $in, '<:encoding(UTF-8)', $file or die "$file: $!";
    local $/;
    return scalar <$in>;
}


# --- The sources -------------------------------------------------------------

my $STRING = qr/"(?:[^"\\]|\\.)*"/;     # of C
my $CALL   = qr/\b(?:ngx_log_error|ngx_conf_log_error|ngx_ssl_error)\s*\(/;

# The arguments of a call, from behind its parenthesis on.
sub arguments {
    my ($text) = @_;
    my ($depth, @args) = (0, '');
    while ($text =~ /\G($STRING|'(?:[^'\\]|\\.)*'|.)/gcs) {
        my $part = $1;
        $depth++ if $part =~ /\A[(\[{]\z/;
        last if $part =~ /\A[)\]}]\z/ && $depth-- == 0;
        if ($part eq ',' && $depth == 0) { push @args, '' }
        else                             { $args[-1] .= $part }
    }
    s/\A\s+|\s+\z//g for @args;
    return @args;
}

# The texts that a format may be: one, or those of "condition ? one : other".  A
# macro among its strings is nginx's, such as the name of a system call.
sub formats {
    my ($arg) = @_;
    my @texts;
    while ($arg =~ /((?:\b\w+\s+)?$STRING(?:\s*(?:$STRING|\w+\b(?!\s*[?(])))*)/g) {
        push @texts, join '', map { /\A"(.*)"\z/s ? $1 =~ s{\\(.)}{$1}gr : '%s' } $1 =~ /($STRING|\w+)/g;
    }
    return @texts;
}

# As the table has it: what differs from line to line is an ellipsis.
sub shown {
    my ($format) = @_;
    my $conversion = qr/%[0-9*]*(?:ui|uz|u?[dDiLMTzA]|[VvsxXpPcZN]|uzk)k?/;
    return $format =~ s/(?:$conversion)+/…/gr;
}

# A constant, or what the function gives to a variable, or what others give for
# its parameter.
sub levels {
    my ($arg, $function, $text) = @_;
    my ($name) = $function =~ /(\w+)\(/;
    for my $said ($arg, join('', $function =~ /\b\Q$arg\E\s*=[^;=]+;/g), join('', $text =~ /\b$name\([^;{]*;/g)) {
        my @levels = $said =~ /NGX_LOG_([A-Z]+)/g;
        return @levels if @levels;
    }
    return;
}

my (%line, %unread);    # text => {level => 1}

find({no_chdir => 1, wanted => sub {
    return unless /\.c\z/;
    my $file = File::Spec->abs2rel($_, "$top/src");
    my $text = slurp($_) =~ s{/\*.*?\*/}{ }gsr;
    my $seen = () = $text =~ /$CALL/g;

    # Each function as a whole, because a level may be a variable of it.
    for my $function ($text =~ /^(\w[^\n;]*\([^;{]*\)\n\{\n.*?^\}\n)/gms) {
        while ($function =~ /$CALL/g) {
            my @args   = arguments(substr $function, pos $function);
            my @levels = levels($args[0], $function, $text);
            my @shown  = map { shown($_) } formats($args[3]);
            $unread{"$file: $args[3]"} = 1 if !@levels || !@shown;
            $seen--;
            for my $level (grep { defined } @LEVEL{@levels}) {
                $line{$_}{$level} = $file for @shown;
            }
        }
    }
    $unread{"$file: $seen calls outside of a function"} = 1 if $seen;
}}, "$top/src");

is_deeply([sort keys %unread], [], 'each call could be read');
cmp_ok(scalar keys %line, '>', 60, 'there are many lines');


# --- The table ---------------------------------------------------------------

my (%row, @empty, @twice);

for (grep { /^\| (?:warn|error|crit|alert|emerg)/ } split /\n/, slurp("$top/docs/log.md")) {
    my ($levels, $line, @said) = /^\| ([a-z, ]+?) \| `(.+?)` \| (?:(.*?) \| )?(.+?) \|$/ or die "not read: $_";
    push @twice, $line if $row{$line};
    push @empty, $line if !length $said[-1];
    $row{$line} = join ', ', sort split /, /, $levels;
}

my %want = map { $_ => join ', ', sort keys %{$line{$_}} } keys %line;

is_deeply([map { join('/', sort keys %{$line{$_}}) . ": $_" } grep { !$row{$_} } sort keys %line], [], 'no line is without a row');
is_deeply([grep { !$line{$_} } sort keys %row], [], 'no row is without a line');
is_deeply([map { "$_: $want{$_}, not $row{$_}" } grep { $row{$_} && $row{$_} ne $want{$_} } sort keys %line], [], 'each has its level');
is_deeply(\@twice, [], 'none is there twice');
is_deeply(\@empty, [], 'each says what to do');

done_testing;
